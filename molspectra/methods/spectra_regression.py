"""Fine-tuning on a property of molecules with known spectra."""

import copy

from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra.features import AtomFeatures
from molspectra.methods.regression import Loss, Regression


class SpectraRegression(Regression):
    """Regression of a property from 3D structure and spectra (MolSpectra, arXiv:2502.16284, §4.1).

    Args:
        head: Head that reads atom features and `data.spectrum_embedding`, :class:`~molspectra.heads.FusionHead`.
        spectrum_encoder: :class:`~molspectra.spectra.SpecFormer` or :class:`~molspectra.spectra.CNNAM`, from scratch or
            pre-trained. Missing spectra (rows of NaN, or absent kinds) are left out.
        label: Field with the property, (B,) or (B, 1).
        loss: Comparison of predictions and labels.

    Example:
        >>> encoder = ms.encoders.EGNN(32, num_layers=2)
        >>> specformer = ms.spectra.SpecFormer({"uv_vis": 601}, 20, 10, 32, num_heads=4, out_channels=32)
        >>> finetune = SpectraRegression(ms.heads.FusionHead(32, 32), specformer, label="gap", loss="l1")
        >>> losses = finetune(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4]))
    """

    def __init__(self, head: nn.Module, spectrum_encoder: nn.Module, *, label: str = "y", loss: Loss = "mse") -> None:
        super().__init__(head, label=label, loss=loss)
        self.spectrum_encoder = spectrum_encoder

    def read(self, atoms: AtomFeatures, data: Data) -> Tensor:
        """Predict the property from the features of molecules and from their spectra.

        Raises:
            ValueError: The molecules have none of the spectra that the encoder reads.
        """
        embedding = self.spectrum_encoder(data).embedding
        # A shallow copy: the caller's batch does not gain a field with a graph.
        data = copy.copy(data)
        data.spectrum_embedding = embedding
        return self.head(atoms, data)
