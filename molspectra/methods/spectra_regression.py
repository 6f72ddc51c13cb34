"""Fine-tuning on a property of molecules whose spectra are known."""

from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra.features import AtomFeatures
from molspectra.heads.concatenation import ConcatenationHead
from molspectra.methods.regression import Loss, Regression
from molspectra.spectra import CNNAM, SpecFormer


class SpectraRegression(Regression):
    """A property from 3D structure and spectra, by concatenation (MolSpectra, arXiv:2502.16284, §4.1).

    Args:
        head: Maps atom features and the spectra's embedding to the property.
        spectrum_encoder: :class:`~molspectra.spectra.SpecFormer` or :class:`~molspectra.spectra.CNNAM`, from scratch or
            pre-trained. Spectra that are missing (rows of NaN, or kinds that the batch does not have) are left out.
        label: Field with the property, (B,) or (B, 1).
        loss: How predictions and labels are compared.

    Example:
        >>> encoder = ms.encoders.EGNN(32, num_layers=2)
        >>> specformer = ms.spectra.SpecFormer({"uv_vis": 601}, 20, 10, 32, num_heads=4, out_channels=32)
        >>> finetune = SpectraRegression(ms.heads.ConcatenationHead(32, 32), specformer, label="gap", loss="l1")
        >>> losses = finetune(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4]))
    """

    def __init__(
        self, head: ConcatenationHead, spectrum_encoder: SpecFormer | CNNAM, *, label: str = "y", loss: Loss = "mse"
    ) -> None:
        super().__init__(head, label=label, loss=loss)
        self.spectrum_encoder = spectrum_encoder

    def read(self, atoms: AtomFeatures, batch: Data, pos: Tensor | None = None) -> Tensor:
        """The property, from features of the atoms of a batch and from its spectra.

        Raises:
            ValueError: the batch has none of the spectra that the encoder reads.
        """
        spectra = {kind: batch[kind] for kind in self.spectrum_encoder.kinds if kind in batch}
        if not spectra:
            raise ValueError(
                f"The batch has none of the spectra {list(self.spectrum_encoder.kinds)}, only {list(batch.keys())}. "
                "Without spectra use Regression."
            )
        embedding = self.spectrum_encoder(spectra).embedding
        return self.head(atoms, embedding, batch=batch.batch, num_molecules=num_molecules_of(batch))
