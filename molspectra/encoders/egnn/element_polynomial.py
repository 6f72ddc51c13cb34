"""Embedding of elements as in the released 3D-EMGP."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra.layers.constants import ExactConstants


class ElementPolynomial(ExactConstants):
    """Embedding E(z) = Σ_p a_zp (z/100)^p + b with p = 0, 1, 2, linear in the element features of the released 3D-EMGP.

    Args:
        hidden_channels: Width F.
        max_z: Largest atomic number.
    """

    features: Tensor

    def __init__(self, hidden_channels: int, max_z: int) -> None:
        super().__init__(lambda: {"features": _element_features(max_z)})
        self.linear = nn.Linear(3 * (max_z + 1), hidden_channels)

    def forward(self, z: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """Embed atomic numbers (N,) as features (N, F)."""
        with torch.autocast(z.device.type, enabled=False):  # an embedding, in the precision of the weights
            return self.linear(self.features.index_select(0, z))


def _element_features(max_z: int) -> Float[Tensor, "elements features"]:
    """Return the features (max_z + 1, 3 (max_z + 1)) of each element: (z/100)^p in its columns, 0 elsewhere."""
    elements = torch.arange(max_z + 1)
    # In float32 first, as in the release, which the published weights were trained with.
    powers = (elements.to(torch.float32) / 100).unsqueeze(1) ** torch.arange(3)
    return torch.block_diag(*powers.double().unsqueeze(1).unbind())
