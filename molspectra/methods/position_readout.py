"""Position of a masked atom from the predicted distributions of its neighbors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.utils import to_dense_batch

from molspectra._validation import check_tensors
from molspectra.layers.position_distribution import PositionDistribution


def locate(
    distribution: PositionDistribution,
    anchor: Float[Tensor, "pairs 3"],
    molecule: Int[Tensor, " pairs"],
    num_molecules: int,
    num_steps: int = 12,
) -> Float[Tensor, "molecules 3"]:
    """Find the position that the predictions of each molecule agree on best, by mean shift.

    The predictions of atom i are as blurred as the labels of training. For a position x at distance r and direction u
    from the atom, a kernel of that width smooths them, k(p, s) = exp(κ (u · p - 1)) · exp(-½ ((s - r) / σ)²) over
    directions p and distances s. The result maximizes

        Σ_i log Σ_ps q_i(p) q_i(s) k(p, s).

    In each step, x moves to the weighted mean of the positions that the atoms predict within their kernels about x.
    Weights are the inverse fourth power of the distance, because the error of a prediction grows with its square. The
    search starts at the mean and at the two most likely directions of each of the three closest atoms, and the best end
    point is returned. The score has no factor r², which would turn a density of distances into one in space: labels
    already peak at the true distance.

    Args:
        distribution: Predictions of E atoms.
        anchor: Positions x_i of these atoms in Å, (E, 3).
        molecule: Molecule of each atom, (E,), sorted.
        num_molecules: Number B of molecules.
        num_steps: Steps of mean shift. Each step about halves the remaining distance.

    Returns:
        Positions in Å, (B, 3), NaN for molecules without predictions.
    """
    check_tensors(anchor=anchor, molecule=molecule)
    if anchor.shape[0] == 0:
        return anchor.new_full((num_molecules, 3), torch.nan)
    with torch.autocast(anchor.device.type, enabled=False):  # half precision cannot resolve hundredths of an Å
        predictions = _Predictions(distribution, anchor, molecule, num_molecules)
        pos = predictions.candidates()
        for _ in range(num_steps):
            pos = predictions.shift(pos)[1]
        best = predictions.shift(pos)[0].argmax(dim=1)
    pos = pos.take_along_dim(best[:, None, None], dim=1).squeeze(1)
    return torch.where(predictions.valid.any(dim=1, keepdim=True), pos, torch.nan)


class _Predictions:
    """Predictions padded to P atoms per molecule, the closest to the gap first, padding last."""

    sharpness = 15.0  # κ, about the curvature of a log label of temperature 0.1 at its peak
    radius_std = 0.5  # σ in Å

    def __init__(
        self, distribution: PositionDistribution, anchor: Tensor, molecule: Tensor, num_molecules: int
    ) -> None:
        pairs = torch.arange(anchor.shape[0], device=anchor.device)
        row, valid = to_dense_batch(pairs, molecule, batch_size=num_molecules)
        distance = torch.where(valid, distribution.mean_radius()[row], torch.inf)
        order = distance.argsort(dim=1)
        row, self.valid = row.gather(1, order), valid.gather(1, order)  # (B, P)
        self.distance = distance.gather(1, order).clamp(min=0.5)
        self.anchor = anchor.to(distance.dtype)[row]  # (B, P, 3)
        self.distribution, self.row = distribution, row
        self.direction, self.radius = distribution.direction.exp()[row], distribution.radius.exp()[row]

    def candidates(self, num_closest: int = 3, num_modes: int = 2) -> Tensor:
        """Return starting positions, (B, C, 3)."""
        row, points = self.row[:, :num_closest], self.distribution.points
        density = (self.distribution.direction - self.distribution.log_weights)[row]
        directions = [self.distribution.mean_direction()[row]]
        for _ in range(num_modes):
            directions.append(points[density.argmax(dim=2)])
            # Take the next mode more than 60° away.
            density = torch.where(directions[-1] @ points.T > 0.5, -torch.inf, density)
        radius = self.distribution.mean_radius()[row]
        pos = self.anchor[:, : row.shape[1], None] + radius[:, :, None, None] * torch.stack(directions, dim=2)
        return torch.where(self.valid[:, : row.shape[1], None, None], pos, pos[:, :1, :1]).flatten(1, 2)

    def shift(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        """Map positions (B, C, 3) to their scores (B, C) and to their mean-shift updates (B, C, 3)."""
        points, radii = self.distribution.points, self.distribution.radii
        score, weights, weighted = torch.zeros_like(pos[..., 0]), torch.zeros_like(pos[..., :1]), torch.zeros_like(pos)
        for slot in range(self.valid.shape[1]):
            valid, anchor = self.valid[:, slot, None], self.anchor[:, slot, None]
            displacement = pos - anchor
            distance = torch.linalg.vector_norm(displacement, dim=2, keepdim=True)
            cosine = displacement @ points.T / distance.clamp(min=1e-6)
            direction = torch.exp(self.sharpness * (cosine - 1)) * self.direction[:, slot, None]  # (B, C, G)
            radius = torch.exp(-0.5 * ((radii - distance) / self.radius_std).square()) * self.radius[:, slot, None]
            of_direction, of_radius = (part.sum(dim=2).clamp(min=1e-30) for part in (direction, radius))
            score = score + torch.where(valid, of_direction.log() + of_radius.log(), 0.0)
            towards = F.normalize(direction @ points, dim=2, eps=1e-30)
            seen_at = anchor + (radius @ radii / of_radius).unsqueeze(2) * towards
            weight = torch.where(valid, self.distance[:, slot, None] ** -4, 0.0).unsqueeze(2)
            weights, weighted = weights + weight, weighted + weight * seen_at
        return score, weighted / weights
