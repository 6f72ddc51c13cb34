"""Update of the edges by the edges before them."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import scatter

from molspectra.encoders.get.bessel import NUM_RADIAL
from molspectra.encoders.get.neighborhood import Triplets
from molspectra.layers.initialization import init_linears
from molspectra.layers.layer_norm import LayerNorm

# Widths that are fixed in the release: of the messages, and of the bottlenecks of the bases.
_MESSAGE_CHANNELS = 64
_BASIS_CHANNELS = 8


class EdgeUpdate(nn.Module):
    """Messages between edges k → j → i, after DimeNet++ (arXiv:2011.14115) and SphereNet (arXiv:2102.05013).

    e is the state of an edge, ρ the damped radial basis, a and t the bases of angle and torsion of a triplet:

        m_kj = SiLU(D [SiLU(W_kj e_kj) ⊙ W_ρ ρ_kj])
        q = SiLU(W_ji e_ji) + SiLU(U Σ_k m_kj ⊙ W_a a_kji ⊙ W_t t_kji)
        q ← Res(q),   q ← SiLU(W q) + e_ji,   e_ji ← Res(Res(q)),   filter input = W_o ρ_ji ⊙ e_ji

    Each Res(q) is q + SiLU(V' SiLU(V q)). As ρ vanishes at the cutoff, so do the messages.

    Args:
        hidden_channels: Width F of the edges.
        num_angles: Size of the basis of angles.
        num_torsions: Size of the basis of torsions.
        normalize: Normalize the filter input.
        normalize_state: Normalize the state as well.
    """

    def __init__(
        self, hidden_channels: int, num_angles: int, num_torsions: int, *, normalize: bool, normalize_state: bool
    ) -> None:
        super().__init__()
        self.own = nn.Linear(hidden_channels, hidden_channels)
        self.incoming = nn.Linear(hidden_channels, hidden_channels)
        self.radial = _bottleneck(NUM_RADIAL, hidden_channels)
        self.down = nn.Linear(hidden_channels, _MESSAGE_CHANNELS, bias=False)
        self.angle = _bottleneck(num_angles, _MESSAGE_CHANNELS)
        self.torsion = _bottleneck(num_torsions, _MESSAGE_CHANNELS)
        self.up = nn.Linear(_MESSAGE_CHANNELS, hidden_channels, bias=False)
        self.before_skip = Residual(hidden_channels)
        self.skip = nn.Linear(hidden_channels, hidden_channels)
        self.after_skip = nn.Sequential(Residual(hidden_channels), Residual(hidden_channels))
        self.out_gate = nn.Linear(NUM_RADIAL, hidden_channels, bias=False)
        self.state_norm = LayerNorm(hidden_channels) if normalize_state else nn.Identity()
        self.out_norm = LayerNorm(hidden_channels) if normalize else nn.Identity()
        init_linears(self)

    def forward(
        self, state: Float[Tensor, "edges channels"], radial: Float[Tensor, "edges 6"], triplets: Triplets
    ) -> tuple[Float[Tensor, "edges channels"], Float[Tensor, "edges channels"]]:
        """Return the new states of the edges, and the inputs of their filters, (E, F) each."""
        dtype = state.dtype  # of the weights, also where autocast has run a projection in half precision
        message = F.silu(self.down(F.silu(self.incoming(state)) * self.radial(radial)))
        along = message.index_select(0, triplets.inner)
        along = along * self.angle(triplets.angle_basis) * self.torsion(triplets.torsion_basis)
        gathered = scatter(along.to(dtype), triplets.outer, dim=0, dim_size=state.shape[0], reduce="sum")
        updated = self.before_skip(F.silu(self.own(state)).to(dtype) + F.silu(self.up(gathered)))
        updated = self.after_skip(F.silu(self.skip(updated)) + state)
        return self.state_norm(updated).to(dtype), self.out_norm(self.out_gate(radial) * updated).to(dtype)


class Residual(nn.Module):
    """Residual block q + SiLU(V' SiLU(V q + b) + b').

    Args:
        channels: Width of q.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, channels)
        self.second = nn.Linear(channels, channels)

    def forward(self, features: Float[Tensor, "edges channels"]) -> Float[Tensor, "edges channels"]:
        """Add the block to the features (E, F)."""
        return features + F.silu(self.second(F.silu(self.first(features))))


def _bottleneck(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a linear map of low rank, which has far fewer weights."""
    return nn.Sequential(
        nn.Linear(in_channels, _BASIS_CHANNELS, bias=False), nn.Linear(_BASIS_CHANNELS, out_channels, bias=False)
    )
