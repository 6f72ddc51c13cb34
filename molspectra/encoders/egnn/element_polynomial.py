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

    powers: Tensor

    def __init__(self, hidden_channels: int, max_z: int) -> None:
        # In float32 first, as in the release, which the published weights were trained with.
        super().__init__(lambda: {"powers": ((torch.arange(max_z + 1) / 100).unsqueeze(1) ** torch.arange(3)).double()})
        self.linear = nn.Linear(3 * (max_z + 1), hidden_channels)

    def forward(self, z: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """Embed atomic numbers (N,) as features (N, F)."""
        # The linear map reads 3 (max_z + 1) features per atom, of which all but three are 0. Only the weights of these
        # three are multiplied.
        coefficients = self.linear.weight.t().unflatten(0, (-1, 3)).index_select(0, z)
        return (coefficients * self.powers.index_select(0, z).unsqueeze(2)).sum(dim=1) + self.linear.bias
