"""Gated equivariant block, in which the scalars and vectors of an atom exchange information."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._validation import check_tensors, checked
from molspectra.layers.initialization import init_linears
from molspectra.layers.precision import at_least_float32


class GatedEquivariantBlock(nn.Module):
    """Map (x, v) → (s, g ⊙ W₂ v) with (s, g) = MLP[x ‖ |W₁ v|] (PaiNN, Schütt et al. 2021, arXiv:2102.03150).

    By default the norm is the smooth √(|·|² + ε). Derivatives of every order are then finite for a vector of exactly 0,
    as a lone atom or an atom at a center of symmetry has. The released code takes the plain norm, whose second
    derivative at 0 is NaN: in training on forces, one lone atom in a batch then turns every weight into NaN.

    Args:
        in_channels: Channels of the incoming scalars and vectors.
        out_channels: Channels of the outgoing scalars and vectors.
        activate: Apply SiLU to the outgoing scalars.
        as_released: Use the plain norm, with derivatives of 0 at 0 instead of the released NaN.
    """

    @checked
    def __init__(self, in_channels: int, out_channels: int, activate: bool = True, as_released: bool = False) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.norm_proj = nn.Linear(in_channels, in_channels, bias=False)
        self.vector_proj = nn.Linear(in_channels, out_channels, bias=False)
        self.mlp = nn.Sequential(
            nn.Linear(2 * in_channels, in_channels), nn.SiLU(), nn.Linear(in_channels, 2 * out_channels)
        )
        self.activation = nn.SiLU() if activate else nn.Identity()
        self.as_released = as_released
        init_linears(self)

    def forward(
        self, scalars: Float[Tensor, "atoms in"], vectors: Float[Tensor, "atoms 3 in"]
    ) -> tuple[Float[Tensor, "atoms out"], Float[Tensor, "atoms 3 out"]]:
        """Map scalars (N, in) and vectors (N, 3, in) to scalars (N, out) and vectors (N, 3, out)."""
        check_tensors(scalars=scalars, vectors=vectors)
        # Only lengths of vectors enter the network, so that its outputs are invariant under rotation.
        norm = (plain_norm if self.as_released else smooth_norm)(self.norm_proj(vectors))
        out, gate = self.mlp(torch.cat([scalars, norm], dim=-1)).chunk(2, dim=-1)
        # One gate per channel scales all three components alike, so that the vector keeps its direction.
        return self.activation(out), gate.unsqueeze(1) * self.vector_proj(vectors)


def smooth_norm(
    vectors: Float[Tensor, "atoms components channels"], eps: float = 1e-6
) -> Float[Tensor, "atoms channels"]:
    """Return √(|v|² + ε) over the components of vectors, or of another degree, summed in float32 or wider."""
    return _like_weights(torch.sqrt(_square(vectors) + eps), vectors)


def plain_norm(vectors: Float[Tensor, "atoms 3 channels"]) -> Float[Tensor, "atoms channels"]:
    """Return |v| over x, y and z, summed in float32 or wider, with all derivatives defined as 0 where v = 0."""
    square = _square(vectors)
    nonzero = square > 0
    # The inner `where` keeps √0 out of the graph: its infinite slope times the 0 of the outer one would be NaN.
    return _like_weights(torch.where(nonzero, torch.sqrt(torch.where(nonzero, square, 1.0)), 0.0), vectors)


def _like_weights(norm: Tensor, vectors: Tensor) -> Tensor:
    """Return norms in the dtype of vectors, which is that of the weights; under autocast as they are."""
    return norm if torch.is_autocast_enabled(vectors.device.type) else norm.to(vectors.dtype)


def _square(vectors: Tensor) -> Tensor:
    return at_least_float32(vectors).square().sum(dim=1)
