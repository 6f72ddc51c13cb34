"""Contrast of two views of the same samples."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.profiler import record_function
from torch.utils.checkpoint import checkpoint

from molspectra._transforms import is_transformed
from molspectra._validation import check_choice, check_sizes, check_tensor
from molspectra.distributed import gather_rows
from molspectra.layers.precision import at_least_float32
from molspectra.objectives.objective import Objective


class InfoNCELoss(Objective):
    """InfoNCE between molecules and their spectra (MolSpectra, arXiv:2502.16284, eq. 7).

    With S_ij the similarity of z_a^i and z_b^j divided by the temperature,

        L = ½ mean_i [lse_j S_ij - S_ii] + ½ mean_j [lse_i S_ij - S_jj].

    The paper uses inner products at temperature 1 (`similarity="dot", temperature=1`). The released code uses cosines
    at 0.07 and only the first half, which `as_released` reproduces. The default is the cosine in both directions. The
    scale of a cosine does not grow with the size of a molecule.

    Cosines use |z| = √(|z|² + ε²), so that a zero vector has a similarity of 0 and finite gradients. The released clamp
    gives gradients of 1e8 there. Similarities are upcast to float32 at least, also under autocast.

    Args:
        temperature: Divisor of the similarities.
        similarity: "cosine" or "dot".
        symmetric: Average both directions, rather than use z_a → z_b only.
        gather_distributed: Take negatives from all processes, in training mode, with gradients. Averaged over
            processes, as by DistributedDataParallel, these are the gradients of one large batch. Batches may differ in
            size.
        chunk_size: Compare this many rows at a time with all others, and recompute the similarities in the backward.
            Memory then grows as chunk_size · B rather than B², at the cost of about 1.3× the computation. Gradients are
            equal up to rounding. None compares all rows at once.
        learnable_temperature: Train the logarithm of the temperature.
        as_released: Use one direction, and cosines with norms clamped at 1e-8.

    Raises:
        ValueError: the temperature is not positive, `chunk_size` is below 1, or `similarity` is unknown.

    Example:
        >>> loss = InfoNCELoss()(torch.eye(4), torch.eye(4))
        >>> loss < 1e-5
        tensor(True)
    """

    def __init__(
        self,
        temperature: float = 0.07,
        similarity: Literal["cosine", "dot"] = "cosine",
        symmetric: bool = True,
        gather_distributed: bool = False,
        *,
        chunk_size: int | None = None,
        learnable_temperature: bool = False,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive; got {temperature}.")
        check_choice("similarity", similarity, ("cosine", "dot"))
        if as_released and similarity != "cosine":
            raise ValueError(f'The released loss takes similarity="cosine"; got {similarity!r}. Leave it out.')
        if chunk_size is not None:
            check_sizes(chunk_size=chunk_size)
        self.similarity = similarity
        self.symmetric = symmetric and not as_released
        self.gather_distributed = gather_distributed
        self.chunk_size = chunk_size
        self.as_released = as_released
        self.fixed_temperature = float(temperature)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature))) if learnable_temperature else None

    @property
    def temperature(self) -> Tensor | float:
        """Temperature: a number, or a trained tensor."""
        return self.fixed_temperature if self.log_temperature is None else self.log_temperature.exp()

    def forward(
        self,
        z_a: Float[Tensor, "batch channels"],
        z_b: Float[Tensor, "batch channels"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Contrast two views.

        Args:
            z_a: First view, (B, F).
            z_b: Second view, (B, F). Row i belongs to row i of `z_a`.
            valid: Rows that take part, (B,), or None for all. Leave out molecules without a spectrum.

        Returns:
            The loss, a scalar, or 0 for a single pair and if no row is valid.

        Raises:
            ValueError: the shapes differ.
        """
        check_tensor("z_a", z_a)
        check_tensor("z_b", z_b)
        if valid is not None:
            check_tensor("valid", valid)
        if z_a.shape != z_b.shape:
            raise ValueError(
                f"z_a and z_b must have one shape (B, F); got {tuple(z_a.shape)} and {tuple(z_b.shape)}. "
                "Bring them to one width with molspectra.layers.ProjectionMLP."
            )
        with torch.autocast(z_a.device.type, enabled=False):
            z_a, z_b = self._prepare(z_a), self._prepare(z_b)
            valid = torch.ones_like(z_a[:, 0], dtype=torch.bool) if valid is None else valid
            all_a, all_b, all_valid, first = z_a, z_b, valid, 0
            if self.gather_distributed and self.training:
                with record_function("molspectra::infonce.gather"):
                    # One collective for both views and the validity of their rows.
                    needed = torch.cat([z_b, valid.unsqueeze(1), *([z_a] if self.symmetric else [])], dim=1)
                    rows, first = gather_rows(needed)
                    all_b, all_valid, all_a = rows.tensor_split([z_b.shape[1], z_b.shape[1] + 1], dim=1)
                    all_valid = all_valid.squeeze(1) > 0
            with record_function("molspectra::infonce.contrast"):
                loss = self._one_sided(z_a, all_b, first, all_valid)
                if self.symmetric:
                    loss = (loss + self._one_sided(z_b, all_a, first, all_valid)) / 2
            return self.mean(loss, valid.sum())

    def _prepare(self, z: Tensor) -> Tensor:
        z = at_least_float32(z)
        if self.similarity == "dot":
            return z
        if self.as_released:
            return z / torch.linalg.vector_norm(z, dim=-1, keepdim=True).clamp(min=1e-8)
        # ε² inside the root: a norm has no derivative at 0.
        return z * torch.rsqrt(z.square().sum(dim=-1, keepdim=True) + 1e-12)

    def _one_sided(self, z: Tensor, others: Tensor, first: int, valid: Tensor) -> Tensor:
        """Return Σ_i [lse_j S_ij - S_ii] over valid rows, where the partner of row i is row first + i of `others`."""
        temperature = self.temperature
        if self.chunk_size is None or z.shape[0] <= self.chunk_size or is_transformed():
            return _contrast(z, others, first, valid, temperature)
        # Nothing of a chunk is kept for the backward, which recomputes its similarities.
        total = z.new_zeros(())
        for start in range(0, z.shape[0], self.chunk_size):
            chunk = z[start : start + self.chunk_size], others, first + start, valid, temperature
            total = total + checkpoint(_contrast, *chunk, use_reentrant=False, preserve_rng_state=False)
        return total


def _contrast(z: Tensor, others: Tensor, first: int, valid: Tensor, temperature: Tensor | float) -> Tensor:
    # The positive of row i is row first + i of `others`: a diagonal. All other columns are negatives.
    scores = (z / temperature) @ others.mT
    positive = scores.diagonal(offset=first)
    counts = valid[first : first + z.shape[0]]
    # Remove invalid negatives from valid rows only. An invalid row without any column left would be -∞, whose gradient
    # is NaN even where the loss is masked.
    scores = scores.masked_fill(counts.unsqueeze(1) & ~valid, -torch.inf)
    return torch.where(counts, scores.logsumexp(dim=1) - positive, 0.0).sum()
