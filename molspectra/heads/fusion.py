"""Property from a molecule and its spectra together."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_channels
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.pooling import MoleculePooling, check_data
from molspectra.layers.layer_norm import LayerNorm
from molspectra.layers.precision import at_least_float32


class FusionHead(Configurable, nn.Module):
    """Property y = std · MLP[LN(g) ‖ LN(e)] + mean from features g of a molecule and e of its spectra.

    Fusion by concatenation, as in the pilot study of MolSpectra on QM9S (arXiv:2502.16284, §4.1). g comes from
    :class:`~molspectra.heads.MoleculePooling`. Both are normalized, so that neither dominates.

    Args:
        channels: Width F of the atom features.
        spectrum_channels: Width of the embedding of the spectra.
        mean: Added to the prediction, in units of the property.
        std: Unit of the prediction, in units of the property.
        hidden_channels: Width of the hidden layer. Default: F.
    """

    def __init__(
        self,
        channels: int,
        spectrum_channels: int,
        mean: float = 0.0,
        std: float = 1.0,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        hidden = hidden_channels or channels
        self.spectrum_channels = spectrum_channels
        self.pool = MoleculePooling(channels)
        self.molecule_norm, self.spectrum_norm = LayerNorm(channels), LayerNorm(spectrum_channels)
        self.mlp = nn.Sequential(nn.Linear(channels + spectrum_channels, hidden), nn.SiLU(), nn.Linear(hidden, 1))
        self.mean = mean
        self.std = std

    def forward(self, atoms: AtomFeatures, data: Data) -> Float[Tensor, "molecules 1"]:
        """Predict one number per molecule, (B, 1).

        Args:
            atoms: Atom features.
            data: Molecules with `spectrum_embedding` (B, E), the embedding of their spectra.

        Raises:
            ValueError: `data` has no `spectrum_embedding`, or features or embedding have another width.
        """
        check_atoms("FusionHead", atoms)
        check_data(data, "FusionHead")
        if "spectrum_embedding" not in data:
            raise ValueError(
                f"data must have the field spectrum_embedding (B, {self.spectrum_channels}); got the "
                f"fields {list(data.keys())}. Set data.spectrum_embedding = specformer(spectra).embedding."
            )
        check_channels("FusionHead's spectrum_channels", data.spectrum_embedding.shape[1], self.spectrum_channels)
        # Pooled features grow with the number of atoms, embeddings of spectra do not: LayerNorm makes them comparable.
        molecules = self.molecule_norm(self.pool(atoms, data))
        read = self.mlp(torch.cat([molecules, self.spectrum_norm(data.spectrum_embedding)], dim=1))
        # Upcast first: in half precision, adding the mean would round away small differences between molecules.
        return self.std * at_least_float32(read) + self.mean
