"""Figures of the examples."""

from pathlib import Path

import evaluation
import matplotlib as mpl
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import molspectra as ms

mpl.use("Agg")
from matplotlib import pyplot as plt

LABELS = {"uv_vis": "UV-Vis", "ir": "IR", "raman": "Raman"}
UNITS = {"eV": "eV", "cm^-1": "cm$^{-1}$"}
ELEMENTS = {1: "0.75", 6: "0.25", 7: "tab:blue", 8: "tab:red", 9: "tab:green"}


def draw_all(first: list[dict], second: list[dict], method: ms.methods.MolSpectra, split: str, folder: Path) -> None:
    """Write all figures into `folder` as PNGs."""
    method.eval()
    batch = evaluation.on_device_of(method, evaluation.load(split))
    with torch.no_grad():
        figures = {
            "losses": losses(first, second, type(method.task).__name__),
            "reconstruction": reconstruction(method, batch),
            "attention": attention(method.specformer, batch),
            "embeddings": embeddings(method.specformer, batch),
        }
    method.train()
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=130, bbox_inches="tight")
        plt.close(figure)


def losses(first: list[dict], second: list[dict], denoise: str):
    """Draw every part of the loss against the epoch, the stages side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, width_ratios=[len(first), len(second)])
    for axis, history, title in zip(axes, (first, second), (f"stage 1: {denoise}", "stage 2: MolSpectra"), strict=True):
        for name in history[0]:
            if name != "loss":
                axis.semilogy(range(1, len(history) + 1), [epoch[name] for epoch in history], label=name)
        axis.set(title=title, xlabel="epoch")
        axis.legend(frameon=False)
    axes[0].set_ylabel("training loss")
    return figure


def reconstruction(method: ms.methods.MolSpectra, batch: Batch, sample: int = 30):
    """Draw the spectra of one molecule and the reconstruction of masked intervals."""
    specformer = method.specformer
    spectra = evaluation.spectra_of(batch, specformer)
    masked = method.mask(spectra, torch.Generator(batch.pos.device).manual_seed(0))
    tokens = specformer(spectra, masked).tokens
    predicted, target = method.reconstruct(specformer.split(tokens)), specformer.patches(spectra)
    figure, axes = plt.subplots(len(spectra), 1, figsize=(9, 6), layout="constrained")
    for axis, (kind, patcher) in zip(axes, specformer.patchers.items(), strict=True):
        grid = ms.data.MiniSpectra.axes[kind].grid
        true, found = (overlap_mean(patches[kind][sample], patcher) for patches in (target, predicted))
        hidden = masked[kind][sample].cpu()[: len(true)]
        grid = grid[: len(true)]
        axis.fill_between(grid, 0, 1, where=hidden, transform=axis.get_xaxis_transform(), color="0.9", label="hidden")
        axis.plot(grid, true, color="0.2", lw=1, label="true")
        axis.plot(grid, torch.where(hidden, found, torch.nan), color="C3", lw=1.2, label="reconstructed")
        axis.set(ylabel=f"{LABELS[kind]}, scaled", xlabel=UNITS[ms.data.MiniSpectra.axes[kind].unit])
    axes[0].legend(frameon=False, ncols=3)
    axes[0].set_title(batch.smiles[sample])
    return figure


def overlap_mean(patches: torch.Tensor, patcher: ms.spectra.SpectrumPatcher) -> torch.Tensor:
    """Merge patches (n, P) into a spectrum, as the mean where they overlap."""
    length = (patcher.num_patches - 1) * patcher.stride + patcher.patch_len
    index = torch.arange(length).unfold(0, patcher.patch_len, patcher.stride).reshape(-1)
    total = torch.zeros(length).index_add(0, index, patches.cpu().reshape(-1))
    return total / torch.zeros(length).index_add(0, index, torch.ones(len(index)))


def attention(specformer: ms.spectra.SpecFormer, batch: Batch):
    """Draw the mean attention of the last layer, in blocks within and between spectra."""
    maps = specformer(evaluation.spectra_of(batch, specformer), return_attention=True).attention
    figure, axis = plt.subplots(figsize=(6, 5.2))
    image = axis.imshow(maps[-1].mean(dim=(0, 1)).cpu().log10(), cmap="viridis", interpolation="nearest")
    figure.colorbar(image, label="log$_{10}$ attention")
    start = 0
    centers = []
    for count in specformer.num_patches.values():
        centers.append(start + count / 2)
        start += count
        axis.axhline(start - 0.5, color="w", lw=0.8)
        axis.axvline(start - 0.5, color="w", lw=0.8)
    axis.set_xticks(centers, [LABELS[kind] for kind in specformer.kinds])
    axis.set_yticks(centers, [LABELS[kind] for kind in specformer.kinds], rotation=90, va="center")
    axis.set(xlabel="attended to", ylabel="attending")
    return figure


def embeddings(specformer: ms.spectra.SpecFormer, batch: Batch):
    """Draw the two principal components of spectrum embeddings, colored by the HOMO-LUMO gap."""
    embedding = specformer(evaluation.spectra_of(batch, specformer)).embedding.cpu()
    centered = embedding - embedding.mean(dim=0)
    projected = centered @ torch.linalg.svd(centered, full_matrices=False).Vh[:2].T
    figure, axis = plt.subplots(figsize=(5.6, 4.4))
    points = axis.scatter(*projected.T, c=batch.gap.cpu(), cmap="viridis", s=28)
    figure.colorbar(points, label="HOMO-LUMO gap (eV)")
    axis.set(xlabel="first principal component", ylabel="second", title="spectrum embeddings, held-out molecules")
    return figure


def noises(molecule: Data, methods: dict[str, ms.methods.Denoising], count: int = 1000):
    """Draw noisy copies of a molecule for each noise, and the changes of its internal coordinates."""
    figure = plt.figure(figsize=(3.2 * len(methods), 5.4), layout="constrained")
    above, below = figure.subfigures(2, 1)
    panels, histograms = above.subplots(1, len(methods), sharex=True, sharey=True), below.subplots(1, 3)
    copies = Batch.from_data_list([molecule] * count)
    in_ring = ms.geometry.topology.bonds_in_rings(molecule.bond_index, len(molecule.z))
    core = molecule.bond_index[:, in_ring].unique()  # the rings, which chemical noise leaves rigid
    for color, (panel, (name, method)) in enumerate(zip(panels, methods.items(), strict=True)):
        noisy = method.noise(copies, torch.Generator().manual_seed(0)).pos.unflatten(0, (count, -1))
        overlay(panel, molecule, align_core(noisy, molecule.pos, core)[:30], f"C{color}")
        panel.set_title(name)
        for axis, (quantity, (change, limit)) in zip(histograms, changes(molecule, noisy).items(), strict=True):
            axis.hist(change.flatten(), 81, range=(-limit, limit), density=True, histtype="step", log=True, label=name)
            axis.set_xlabel(f"change of {quantity}")
            axis.tick_params(which="both", left=False, labelleft=False)
    histograms[0].set_ylabel("density, logarithmic")
    below.legend(*histograms[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    return figure


def overlay(axis, molecule: Data, copies: Tensor, color: str) -> None:
    """Draw the bonds of a molecule and of its copies (n, N, 3), viewed along its flattest direction."""
    plane = torch.linalg.svd(molecule.pos - molecule.pos.mean(dim=0)).Vh[:2].T
    for pos in copies @ plane:
        axis.plot(*pos[molecule.bond_index].permute(2, 0, 1), color=color, lw=0.8, alpha=0.35)
    pos = molecule.pos @ plane
    axis.plot(*pos[molecule.bond_index].permute(2, 0, 1), color="k", lw=1.5)
    axis.scatter(*pos.T, s=30, c=[ELEMENTS[z] for z in molecule.z.tolist()], edgecolors="k", zorder=3)
    axis.set_aspect("equal")
    axis.axis("off")


def align_core(copies: Tensor, original: Tensor, core: Tensor) -> Tensor:
    """Superpose copies (n, N, 3) on the core atoms of the original (Kabsch)."""
    center, target = copies[:, core].mean(dim=1, keepdim=True), original[core].mean(dim=0)
    left, _, right = torch.linalg.svd((copies[:, core] - center).mT @ (original[core] - target))
    left[:, :, 2] *= torch.linalg.det(left @ right)[:, None]  # a rotation, not a reflection
    return (copies - center) @ left @ right + target


def changes(molecule: Data, copies: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Compute changes of bond lengths, angles and torsions of copies (n, N, 3), and plot ranges."""
    terms = molecule.bond_index, molecule.angle_index, molecule.torsion_index
    r0, theta0, phi0 = ms.geometry.internal_coordinates(molecule.pos, *terms)
    r, theta, phi = ms.geometry.internal_coordinates(copies, *terms)
    return {
        "bond lengths (Å)": (r - r0, 0.25),
        "bond angles (°)": ((theta - theta0).rad2deg(), 40.0),
        "torsions (°)": (ms.geometry.wrap_angle(phi - phi0).rad2deg(), 180.0),
    }
