"""Reading the position of a masked atom off what the others say of it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.utils import to_dense_batch

from molspectra.layers.position_distribution import PositionDistribution


def locate(
    distribution: PositionDistribution,
    anchor: Float[Tensor, "pairs 3"],
    molecule: Int[Tensor, " pairs"],
    num_molecules: int,
    num_steps: int = 12,
) -> Float[Tensor, "molecules 3"]:
    """The position that the atoms of each molecule agree on best.

    What atom i says is as blurred as the labels are that it was trained on. Seen from a position x at the distance r
    and in the direction u from it, it is smoothed with a kernel of that width, k(p, s) = exp(κ (u · p - 1)) ·
    exp(-½ ((s - r) / σ)²) over directions p and distances s. The position sought is that of the largest

        Σ_i log Σ_ps q_i(p) q_i(s) k(p, s)

    found by mean shift: x moves to the mean of the places where the atoms see the missing one, each within its kernel
    about x, weighted with the inverse fourth power of its distance, as the error of one atom's answer grows with the
    square. The start is what the three closest atoms say, each by its mean and its two likeliest directions; the best
    end counts. There is no factor r², which would make a density in space of that of a distance: labels are largest
    at the truth as they stand.

    Args:
        distribution: What each atom says, E rows.
        anchor: Positions x_i of these atoms in Å, (E, 3).
        molecule: Molecule of each, (E,), sorted.
        num_molecules: Number B of molecules.
        num_steps: Steps of mean shift, each of which about halves the distance to go.

    Returns:
        Positions in Å, (B, 3); NaN for molecules without an atom that says something.
    """
    if anchor.shape[0] == 0:
        return anchor.new_full((num_molecules, 3), torch.nan)
    with torch.autocast(anchor.device.type, enabled=False):  # hundredths of an Å are beyond half precision
        witnesses = _Witnesses(distribution, anchor, molecule, num_molecules)
        pos = witnesses.candidates()
        for _ in range(num_steps):
            pos = witnesses.ask(pos)[1]
        best = witnesses.ask(pos)[0].argmax(dim=1)
    pos = pos.take_along_dim(best[:, None, None], dim=1).squeeze(1)
    return torch.where(witnesses.present.any(dim=1, keepdim=True), pos, torch.nan)


class _Witnesses:
    """What atoms say, molecules side by side: P of them each, the closest to the gap first, absent ones last."""

    sharpness = 15.0  # κ: about the curvature of the logarithm of a label of temperature 0.1 at its peak
    radius_std = 0.5  # σ in Å

    def __init__(
        self, distribution: PositionDistribution, anchor: Tensor, molecule: Tensor, num_molecules: int
    ) -> None:
        pairs = torch.arange(anchor.shape[0], device=anchor.device)
        row, present = to_dense_batch(pairs, molecule, batch_size=num_molecules)
        distance = torch.where(present, distribution.mean_radius()[row], torch.inf)
        order = distance.argsort(dim=1)
        row, self.present = row.gather(1, order), present.gather(1, order)  # (B, P)
        self.distance = distance.gather(1, order).clamp(min=0.5)
        self.anchor = anchor.to(distance.dtype)[row]  # (B, P, 3)
        self.distribution, self.row = distribution, row
        self.direction, self.radius = distribution.direction.exp()[row], distribution.radius.exp()[row]

    def candidates(self, num_closest: int = 3, num_modes: int = 2) -> Tensor:
        """Positions to start from, (B, C, 3)."""
        row, points = self.row[:, :num_closest], self.distribution.points
        density = (self.distribution.direction - self.distribution.log_weights)[row]
        directions = [self.distribution.mean_direction()[row]]
        for _ in range(num_modes):
            directions.append(points[density.argmax(dim=2)])
            # The next one is more than 60° from it.
            density = torch.where(directions[-1] @ points.T > 0.5, -torch.inf, density)
        radius = self.distribution.mean_radius()[row]
        pos = self.anchor[:, : row.shape[1], None] + radius[:, :, None, None] * torch.stack(directions, dim=2)
        return torch.where(self.present[:, : row.shape[1], None, None], pos, pos[:, :1, :1]).flatten(1, 2)

    def ask(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, C, 3) → how likely they are (B, C), and the mean of where they should be instead (B, C, 3)."""
        points, radii = self.distribution.points, self.distribution.radii
        score, weights, weighted = torch.zeros_like(pos[..., 0]), torch.zeros_like(pos[..., :1]), torch.zeros_like(pos)
        for slot in range(self.present.shape[1]):
            present, anchor = self.present[:, slot, None], self.anchor[:, slot, None]
            displacement = pos - anchor
            distance = torch.linalg.vector_norm(displacement, dim=2, keepdim=True)
            cosine = displacement @ points.T / distance.clamp(min=1e-6)
            direction = torch.exp(self.sharpness * (cosine - 1)) * self.direction[:, slot, None]  # (B, C, G)
            radius = torch.exp(-0.5 * ((radii - distance) / self.radius_std).square()) * self.radius[:, slot, None]
            of_direction, of_radius = (part.sum(dim=2).clamp(min=1e-30) for part in (direction, radius))
            score = score + torch.where(present, of_direction.log() + of_radius.log(), 0.0)
            towards = F.normalize(direction @ points, dim=2, eps=1e-30)
            seen_at = anchor + (radius @ radii / of_radius).unsqueeze(2) * towards
            weight = torch.where(present, self.distance[:, slot, None] ** -4, 0.0).unsqueeze(2)
            weights, weighted = weights + weight, weighted + weight * seen_at
        return score, weighted / weights
