"""Conditioning of an encoder on the forces on atoms."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_dtype, check_sizes, check_tensor
from molspectra.encoders.irreps_transformer.degrees import split_degrees
from molspectra.encoders.irreps_transformer.spherical_harmonics import SphericalHarmonics
from molspectra.features import AtomFeatures


class ForceEncoding(Configurable, nn.Module):
    """Features x_l = W_l |F|/√3 Y_l(F/|F|) of the force on each atom, for l = 0 … l_max (DeNS, arXiv:2403.09549).

    Y_l are spherical harmonics with |Y_l|² = 2l + 1, so that degree 0 holds |F|/√3 and degree 1 the force itself. A
    weight per degree and channel spreads them over channels. A force of 0 is encoded as 0. Forces turn like vectors:
    degree l has the parity (-1)^l.

    Args:
        channels: Width F of the features.
        l_max: Highest degree. The encoder must have it.
        bias: Add a bias to degree 0 of *every* atom, as released. It acts like one more term of the element embedding,
            also in passes without forces.

    Example:
        >>> encoding = ForceEncoding(16)
        >>> encoding(torch.randn(5, 3)).vectors.shape
        torch.Size([5, 3, 16])
    """

    def __init__(self, channels: int, l_max: int = 1, bias: bool = False) -> None:
        super().__init__()
        check_sizes(channels=channels, l_max=l_max)
        # PyTorch draws weights of one input uniformly from -1 to 1, as EquiformerV2 does.
        self.harmonics = SphericalHarmonics(l_max)
        self.degrees = nn.ModuleList(nn.Linear(1, channels, bias=bias and not degree) for degree in range(l_max + 1))

    def forward(self, forces: Float[Tensor, "atoms 3"], mask: Bool[Tensor, " atoms"] | None = None) -> AtomFeatures:
        """Encode forces.

        Args:
            forces: Forces (N, 3), in units in which they are of order 1.
            mask: True for atoms whose force is encoded, (N,). The forces of others count as 0 and may be NaN.

        Returns:
            Features of degrees 0 … l_max, (N, 2l + 1, F) each.

        Raises:
            TypeError: The forces have another dtype than the weights.
        """
        check_tensor("forces", forces)
        weight = next(self.parameters(), None)  # none after quantization
        if weight is not None:
            check_dtype("forces", forces, weight)
        if mask is not None:
            check_tensor("mask", mask)
            forces = torch.where(mask.unsqueeze(1), forces, 0.0)
        length = torch.linalg.vector_norm(forces, dim=1, keepdim=True)
        harmonics = self.harmonics(forces / torch.where(length > 0, length, 1.0))
        # Times the length also in degree 0, so that no force is encoded as 0.
        features = split_degrees((length / math.sqrt(3) * harmonics).unsqueeze(2), self.harmonics.l_max)
        scalars, vectors, *tensors = (
            linear(of_degree) for linear, of_degree in zip(self.degrees, features, strict=True)
        )
        return AtomFeatures(scalars.squeeze(1), vectors, tuple(tensors))
