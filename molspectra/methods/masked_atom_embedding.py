"""Conditioning of an encoder on a masked atom."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._validation import check_sizes, check_tensor, checked, values_are_free

FARTHEST_LABEL = 3.3
"""Distance from the mean in standard deviations beyond which all Gaussians are close to 0."""


class MaskedAtomEmbedding(nn.Module):
    """Embedding c = W SiLU(E(z) + V s(y)) of the element of a masked atom and, optionally, a label of the molecule.

    Conditioning of EMPP (An et al. 2025, arXiv:2502.08209). s(y) spreads the standardized label over Gaussians,
    s_k = exp(-½ ((y - μ_k) / d)²), with μ_k evenly spaced from -3 to 3 and d = 6 / (K - 1) their spacing. Beyond about
    3.3 standard deviations all of them are close to 0, as for a missing label. For NaN, a missing label, they are 0.

    Differences from the published code: there, every block has such a module, whose output enters the attention of the
    block only. Here a single output is the encoder's `context`, added to the initial scalars, so that any encoder can
    be conditioned. The element table holds all elements instead of ten.

    Args:
        channels: Width F of the encoder's features.
        label: Embed a label as well.
        hidden_channels: Width of the hidden layer.
        num_basis: Number K of Gaussians.
        max_z: Largest atomic number.

    Raises:
        ValueError: `num_basis` is less than 2.

    Example:
        >>> embedding = MaskedAtomEmbedding(16, label=True)
        >>> embedding(torch.tensor([6, 1]), torch.tensor([0.3, -1.2])).shape
        torch.Size([2, 16])
    """

    @checked
    def __init__(
        self,
        channels: int,
        label: bool = False,
        hidden_channels: int = 32,
        num_basis: int = 64,
        max_z: int = 118,
    ) -> None:
        super().__init__()
        check_sizes(max_z=max_z)
        if num_basis < 2:
            raise ValueError(f"num_basis must be at least 2; got {num_basis}.")
        self.max_z = max_z
        self.num_basis = num_basis
        # Row z of the table is element z; row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, hidden_channels)
        self.label_proj = nn.Linear(num_basis, hidden_channels) if label else None
        self.activation = nn.SiLU()
        self.out_proj = nn.Linear(hidden_channels, channels)

    def forward(
        self, masked_z: Int[Tensor, " masked"], label: Float[Tensor, " masked"] | None = None
    ) -> Float[Tensor, "masked channels"]:
        """Embed masked atoms.

        Args:
            masked_z: Atomic numbers (M,), 1..max_z.
            label: Standardized property of the molecule, (M,).

        Returns:
            Embeddings (M, F).

        Raises:
            ValueError: A label is unexpected or missing or has another shape, or an element is out of range (checked
                for CPU tensors).
        """
        check_tensor("masked_z", masked_z)
        if label is not None:
            check_tensor("label", label)
        if label is None and self.label_proj is not None:
            raise ValueError("label must be given, (M,): the embedding was made with label=True. Got none.")
        if label is not None and self.label_proj is None:
            raise ValueError("label must be None: the embedding was made without label=True. Make it so, or drop it.")
        if label is not None and label.shape != masked_z.shape:
            raise ValueError(
                f"label must have shape {tuple(masked_z.shape)}, one per masked atom; got {tuple(label.shape)}."
            )
        if values_are_free(masked_z) and bool(((masked_z < 1) | (masked_z > self.max_z)).any()):
            raise ValueError(
                f"masked_z must lie in 1..{self.max_z} (atomic numbers); got values from {int(masked_z.min())} to "
                f"{int(masked_z.max())}. For heavier elements pass a larger max_z."
            )
        hidden = embedded = self.embedding(masked_z)
        if self.label_proj is not None and label is not None:
            hidden = hidden + self.label_proj(smear(label.to(hidden.dtype), self.num_basis))
        # In the dtype of the weights, as the initial scalars of encoders are, also under autocast.
        return self.out_proj(self.activation(hidden)).to(embedded.dtype)


def smear(values: Float[Tensor, " values"], num_basis: int, limit: float = 3.0) -> Float[Tensor, "values basis"]:
    """Compute exp(-½ ((y - μ_k) / d)²) with centers μ_k from -limit to limit, d apart, and 0 for NaN and infinity.

    Example:
        >>> smear(torch.tensor([0.0, torch.nan]), num_basis=3, limit=1)
        tensor([[0.6065, 1.0000, 0.6065],
                [0.0000, 0.0000, 0.0000]])
    """
    centers = torch.linspace(-limit, limit, num_basis, dtype=values.dtype, device=values.device)
    width = 2 * limit / (num_basis - 1)
    finite = values.isfinite().unsqueeze(1)
    # torch.where differentiates both branches, so the unused one must be finite as well.
    deviation = torch.where(finite, values.unsqueeze(1), 0.0) - centers
    return torch.where(finite, torch.exp(-0.5 * (deviation / width).square()), 0.0)
