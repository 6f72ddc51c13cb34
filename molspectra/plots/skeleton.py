"""Balls and sticks of molecules in a plane."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data import perceive_bonds

# Customary colors of elements, in shades that differ in lightness as well.
_COLORS = {
    1: "#F2F2F2",
    6: "#4D4D4D",
    7: "#0072B2",
    8: "#D55E00",
    9: "#7FCF9F",
    15: "#E69F00",
    16: "#F0E442",
    17: "#009E73",
    35: "#7A3B12",
    53: "#5B2A86",
}
_OTHER = "#CC79A7"


def flattest_view(pos: Tensor) -> Tensor:
    """Return positions (N, 3) in the frame of the principal axes of the molecule, the longest first, in float64."""
    pos = pos.detach().cpu().double()
    centered = pos - pos.mean(dim=-2, keepdim=True)
    return centered @ view_of(centered)


def view_of(centered: Tensor) -> Tensor:
    """Return the rotation (3, 3) onto the principal axes of centered positions (N, 3)."""
    axes = torch.linalg.svd(centered, full_matrices=True).Vh.T
    # Signs of principal axes are arbitrary: fixed here, so that figures can be repeated, as those of a rotation.
    axes = axes * torch.sign(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)))
    axes[:, 2] *= torch.linalg.det(axes).sign()
    return axes


def bonds_of(data: Data) -> np.ndarray:
    """Return the bonds of a molecule (2, B), perceived from positions if it has none."""
    index = data.get("bond_index")
    if index is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # lines between neighbors, of which nothing is computed
            index, _ = perceive_bonds(data.z, data.pos)
    return index.cpu().numpy()


def draw_skeleton(panel: Any, data: Data, pos: Tensor, *, balls: bool = False) -> None:
    """Draw bonds as lines and atoms as circles, seen along the third axis, from back to front.

    Args:
        panel: Axes.
        data: The molecule.
        pos: Positions to draw (N, 3).
        balls: Draw larger atoms of different size, and wider bonds.
    """
    x, y, depth = pos.numpy().T
    order = np.argsort(depth, kind="stable")
    front = np.empty(len(depth))
    front[order] = 2 + np.arange(len(depth)) / max(len(depth), 1)
    for i, j in bonds_of(data).T:
        panel.plot(
            x[[i, j]],
            y[[i, j]],
            color="0.35" if balls else "black",
            lw=3.0 if balls else 1.5,
            solid_capstyle="round",
            zorder=min(front[i], front[j]),
        )
    for atom, z in enumerate(data.z.tolist()):
        size = (60 if z == 1 else 150) if balls else 26
        look = {"c": _COLORS.get(z, _OTHER), "edgecolors": "black", "linewidths": 0.8}
        panel.scatter(x[atom], y[atom], s=size, zorder=front[atom] + 1e-3, **look)
    panel.margins(0.12)
