"""EMPP's labels, divergences and reduction, one pair and one point at a time, and its published head."""

import math

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.special import eval_legendre

from molspectra.encoders import AtomFeatures
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.layers import PositionDistribution
from molspectra.testing import wigner


def direction_label(displacement, points, log_weights, temperature, l_max):
    """Probability of each point for one displacement, both plain lists. Uniform over area without a direction."""
    distance = math.sqrt(sum(x * x for x in displacement))
    scores = []
    for point, log_weight in zip(points, log_weights, strict=True):
        score = log_weight
        if distance > 0:
            cosine = sum(x * y for x, y in zip(displacement, point, strict=True)) / distance
            for l in range(l_max + 1):
                score += (2 * l + 1) / (4 * math.pi) * eval_legendre(l, cosine) / temperature
        scores.append(score)
    return softmax(scores)


def radius_label(displacement, radii, std, as_released=False):
    """Probability of each distance for one displacement."""
    distance = math.sqrt(sum(x * x for x in displacement))
    if as_released:
        return softmax([math.exp(-0.3 * ((radius - distance) / std) ** 2) for radius in radii])
    gaussian = [math.exp(-0.5 * ((radius - distance) / std) ** 2) for radius in radii]
    return [value / sum(gaussian) for value in gaussian]


def divergence(label, log_predicted):
    """Kullback–Leibler divergence of two lists."""
    return sum(p * (math.log(p) - log_q) for p, log_q in zip(label, log_predicted, strict=True) if p > 0)


def mean_by_molecule(values, molecule):
    """Mean over the pairs of each molecule, then over the molecules with pairs."""
    means = []
    for one in sorted(set(molecule)):
        of_one = [value for value, owner in zip(values, molecule, strict=True) if owner == one]
        means.append(sum(of_one) / len(of_one))
    return sum(means) / len(means)


def softmax(scores):
    """exp(s_k) / Σ exp(s) of a list."""
    highest = max(scores)
    values = [math.exp(score - highest) for score in scores]
    return [value / sum(values) for value in values]


class PublishedPositionHead:
    """Weights, inputs and outputs of the published head: 8 channels of degrees 0, 1, 2."""

    def __init__(self, folder):
        self.folder = folder
        self.inputs = self.numbers("head_release_res20_f64")
        self.edge_index = self.inputs["edge_index"]
        self.displacement = self.inputs["mask_pos"][self.edge_index[1]] - self.inputs["pos"][self.edge_index[0]]

    def numbers(self, name):
        """An .npz as tensors."""
        return {key: torch.from_numpy(array) for key, array in np.load(self.folder / f"{name}.npz").items()}

    def head(self, num_polar, dtype):
        """The head on a grid of n × (n + 1) points."""
        weights = load_file(self.folder / "head_release_plain.safetensors")
        state = {"norm.weight": torch.stack([weights[f"norm.weight_l{l}"] for l in range(3)])}
        state["norm.bias"] = weights["norm.bias_l0"]
        for ours, theirs in (("linear_in", "lin1"), ("linear_out", "lin2")):
            state |= {f"{ours}.degrees.{l}.weight": weights[f"{theirs}.W_l{l}"].T for l in range(3)}
            state[f"{ours}.degrees.0.bias"] = weights[f"{theirs}.b_l0"]
        for ours, theirs in (("mix", "dir_mlp.0"), ("direction", "dir_mlp.2")):
            state |= {f"{ours}.{part}": weights[f"{theirs}.{part}"] for part in ("weight", "bias")}
        state |= {f"radius.{i}.{part}": weights[f"rad_mlp.{i}.{part}"] for i in (0, 2) for part in ("weight", "bias")}
        head = PositionDistributionHead(8, num_polar=num_polar, as_released=True)
        # The release has no weights that make degrees of vectors.
        missing, unexpected = head.load_state_dict(state, strict=False)
        assert {name.split(".")[0] for name in missing} == {"lift"}
        assert unexpected == []
        return head.to(dtype)

    def nodes(self, dtype):
        """Features of all remaining atoms, (46, 72), as a leaf."""
        return self.inputs["node_features"].to(dtype, copy=True).requires_grad_()

    def atoms(self, dtype, nodes=None):
        """Features of the remaining atom of each pair."""
        nodes = self.nodes(dtype) if nodes is None else nodes
        return AtomFeatures.from_irreps("8x0e+8x1o+8x2e", nodes).select(self.edge_index[0])


def turned(atoms, turn):
    """The features of a molecule turned by an orthogonal matrix in float64."""
    degrees = [atoms.degree(l) for l in range(atoms.l_max + 1)]
    scalars, *others = (wigner(l, turn).to(degree.dtype) @ degree for l, degree in enumerate(degrees))
    return AtomFeatures(scalars.squeeze(1), others[0], tuple(others[1:]))


def ideal_distribution(grid, displacement, sharpness, radius_std, other=None):
    """Distributions with their mass at the displacements, shared equally with other displacements if given."""
    points, log_weights = grid.points.to(displacement.dtype), grid.log_weights.to(displacement.dtype)
    radii = torch.linspace(0, 6, 128, dtype=displacement.dtype)
    total = []
    for each in [displacement] if other is None else [displacement, other]:
        distance = each.norm(dim=1, keepdim=True)
        direction = (sharpness * (each / distance) @ points.T + log_weights).softmax(dim=1)
        total.append((direction, (-0.5 * ((radii - distance) / radius_std).square()).softmax(dim=1)))
    direction, radius = (torch.stack(parts).mean(dim=0).log() for parts in zip(*total, strict=True))
    return PositionDistribution(direction, radius, points, log_weights, radii)
