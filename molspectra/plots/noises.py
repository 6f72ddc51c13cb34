"""Noisy copies of a molecule."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._signature import attribute_of
from molspectra._validation import checked
from molspectra.data.transforms import AddTopology
from molspectra.geometry import internal_coordinates, wrap_angle
from molspectra.geometry.topology import bonds_in_rings
from molspectra.plots.skeleton import bonds_of, draw_skeleton, view_of
from molspectra.plots.style import color, style

_SHOWN = 30
_TOPOLOGY = ("angle_index", "torsion_index")


@checked
def noise(
    noises: Any,
    molecule: Data,
    *,
    copies: int = 1000,
    generator: torch.Generator | None = None,
    ax: Any = None,
) -> Any:
    """Draw noisy copies of a molecule, superposed on it, and distributions of the changes of its internal coordinates.

    The first 30 copies are drawn, superposed on the atoms of rings, which chemical noise leaves rigid, or on all atoms
    of a molecule without rings.

    Args:
        noises: A noise or a method with one, or a dict of several by name, for a panel each.
        molecule: A molecule with bonds and the fields that the noises read.
        copies: Number of copies of which the distributions are drawn.
        generator: Source of randomness. Default: a fixed one.
        ax: Axes for the copies of one noise alone. Default: a new figure with distributions.

    Returns:
        The axes given, or an array of axes: one per noise, then bond lengths, angles and torsions.

    Raises:
        TypeError: These are no noises.
        ValueError: A noise removes atoms, as EMPP's mask does, or the molecule lacks a field.

    Example:
        >>> molecule = ms.data.transforms.AddTopology()(ms.data.MiniSpectra()[8])
        >>> noises = {"Coord": ms.noise.CoordNoise(0.04), "Frad": ms.noise.FradNoise()}
        >>> len(ms.plots.noise(noises, molecule, copies=50))
        5
    """
    named = noises if isinstance(noises, Mapping) else {"": noises}
    functions = {name: _noise_of(noise) for name, noise in named.items()}
    if ax is not None and len(functions) > 1:
        raise ValueError(f"ax takes one noise; got {list(functions)}. Draw each on axes of its own.")
    molecule = _alone(molecule)
    drawn = {name: _copies(function, molecule, copies, generator) for name, function in functions.items()}
    with style() as plt:
        if ax is not None:
            _overlay(ax, molecule, next(iter(drawn.values())), color(0))
            return ax
        figure = plt.figure(figsize=(max(3.0 * len(drawn), 7.0), 5.2), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        panels = above.subplots(1, len(drawn), squeeze=False)[0]
        histograms = below.subplots(1, 3, sharey=True)
        for number, (panel, (name, pos)) in enumerate(zip(panels, drawn.items(), strict=True)):
            _overlay(panel, molecule, pos, color(number))
            panel.set_title(name)
            _distributions(histograms, molecule, pos, name, color(number))
        _limit_alike(panels)
        histograms[0].set_ylabel("density (log scale)")
        if len(drawn) > 1:
            below.legend(*histograms[0].get_legend_handles_labels(), ncols=len(drawn), loc="outside lower center")
    return np.concatenate([panels, histograms])


def _noise_of(noise: Any) -> Callable[..., Data]:
    """Return a noise, or that of a method."""
    function = attribute_of(noise, "noise", noise) if callable(noise) else None
    if not callable(function) or isinstance(function, Data | type):
        raise TypeError(
            f"noises must be a noise, a method with one, or a dict of them; got a {type(noise).__name__}. Use one "
            "of molspectra.noise, such as CoordNoise(0.04)."
        )
    return function


def _alone(molecule: Data) -> Data:
    """Return one molecule with its topology, on the CPU."""
    if isinstance(molecule, Batch):
        if molecule.num_graphs != 1:
            raise ValueError(f"molecule must be one molecule; got a batch of {molecule.num_graphs}. Pass batch[0].")
        molecule = molecule[0]
    molecule = molecule.clone().cpu()
    if molecule.get("bond_index") is None:
        raise ValueError(
            f"molecule must have bond_index; got the fields {list(molecule.keys())}. Set it with "
            "molspectra.data.perceive_bonds(z, pos)."
        )
    return molecule if all(field in molecule for field in _TOPOLOGY) else AddTopology()(molecule)


def _copies(function: Callable[..., Data], molecule: Data, count: int, generator: torch.Generator | None) -> Tensor:
    """Return the positions of noisy copies, (n, N, 3)."""
    batch = Batch.from_data_list([molecule] * count)
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    noisy = function(batch, generator)
    if noisy.pos.shape != batch.pos.shape:
        raise ValueError(
            f"noise must preserve the atoms; {function!r} left {noisy.pos.shape[0]} of {batch.pos.shape[0]} atoms."
        )
    return noisy.pos.detach().double().unflatten(0, (count, -1))


def _overlay(panel: Any, molecule: Data, copies: Tensor, shade: str) -> None:
    """Draw the bonds of a molecule and of its copies (n, N, 3), viewed along its flattest direction."""
    original = molecule.pos.double()
    in_ring = bonds_in_rings(molecule.bond_index, len(molecule.z))
    core = molecule.bond_index[:, in_ring].unique() if bool(in_ring.any()) else torch.arange(len(original))
    center = original.mean(dim=0)
    view = view_of(original - center)
    aligned = (superpose(copies[:_SHOWN], original, core) - center) @ view
    for i, j in bonds_of(molecule).T:
        x, y = aligned[:, [i, j], :2].permute(2, 1, 0).numpy()
        panel.plot(x, y, color=shade, lw=0.7, alpha=0.35, zorder=1)
    draw_skeleton(panel, molecule, (original - center) @ view)
    panel.set_aspect("equal")
    panel.axis("off")


def superpose(copies: Tensor, original: Tensor, core: Tensor) -> Tensor:
    """Superpose copies (n, N, 3) on the core atoms of the original by rotation and translation (Kabsch)."""
    centers, target = copies[:, core].mean(dim=1, keepdim=True), original[core].mean(dim=0)
    left, _, right = torch.linalg.svd((copies[:, core] - centers).mT @ (original[core] - target))
    left[:, :, 2] *= torch.linalg.det(left @ right)[:, None]  # a rotation, not a reflection
    return (copies - centers) @ left @ right + target


def _distributions(panels: Any, molecule: Data, copies: Tensor, name: str, shade: str) -> None:
    """Draw histograms of the changes of bond lengths, angles and torsions of copies (n, N, 3)."""
    terms = molecule.bond_index, molecule.angle_index, molecule.torsion_index
    before = internal_coordinates(molecule.pos.double(), *terms)
    r, theta, phi = (now - then for now, then in zip(internal_coordinates(copies, *terms), before, strict=True))
    changes = {
        "bond lengths (Å)": (r, 0.25),
        "bond angles (°)": (theta.rad2deg(), 40.0),
        "torsions (°)": (wrap_angle(phi).rad2deg(), 180.0),
    }
    for panel, (quantity, (change, limit)) in zip(panels, changes.items(), strict=True):
        edges = np.linspace(-limit, limit, 82)
        density = np.histogram(change.flatten().numpy(), edges)[0] / max(change.numel(), 1)
        # Bins without an entry have no logarithm.
        panel.stairs(np.where(density > 0, density, np.nan), edges, color=shade, label=name, lw=1.2)
        panel.set_xlim(-limit, limit)
        panel.set_yscale("log")
        panel.set_xlabel(f"change of {quantity}")
        panel.tick_params(which="both", left=False, labelleft=False)


def _limit_alike(panels: Any) -> None:
    """Give all panels the limits that show every drawing at one scale."""
    for get, set_ in (("get_xlim", "set_xlim"), ("get_ylim", "set_ylim")):
        low, high = np.array([getattr(panel, get)() for panel in panels]).T
        for panel in panels:
            getattr(panel, set_)(low.min(), high.max())
