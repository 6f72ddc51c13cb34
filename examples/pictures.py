"""The pictures of example 01."""

from pathlib import Path

import evaluation
import matplotlib as mpl
import torch
from torch_geometric.data import Batch

import molspectra as ms

mpl.use("Agg")
from matplotlib import pyplot as plt

LABELS = {"uv_vis": "UV-Vis", "ir": "IR", "raman": "Raman"}
UNITS = {"eV": "eV", "cm^-1": "cm$^{-1}$"}


def draw_all(first: list[dict], second: list[dict], method: ms.methods.MolSpectra, split: str, folder: Path) -> None:
    """Write all pictures into `folder` as PNGs."""
    method.eval()
    batch = evaluation.on_device_of(method, evaluation.load(split))
    with torch.no_grad():
        figures = {
            "losses": losses(first, second),
            "reconstruction": reconstruction(method, batch),
            "attention": attention(method.specformer, batch),
            "embeddings": embeddings(method.specformer, batch),
        }
    method.train()
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=130, bbox_inches="tight")
        plt.close(figure)


def losses(first: list[dict], second: list[dict]):
    """Every part of the loss against the epoch, the stages side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, width_ratios=[len(first), len(second)])
    for axis, history, title in zip(axes, (first, second), ("stage 1: Coord", "stage 2: MolSpectra"), strict=True):
        for name in history[0]:
            if name != "loss":
                axis.semilogy(range(1, len(history) + 1), [epoch[name] for epoch in history], label=name)
        axis.set(title=title, xlabel="epoch")
        axis.legend(frameon=False)
    axes[0].set_ylabel("training loss")
    return figure


def reconstruction(method: ms.methods.MolSpectra, batch: Batch, sample: int = 30):
    """The spectra of one molecule, and what was made of the intervals that were hidden."""
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
    """Patches (n, P) back to a spectrum: where they overlap, their mean."""
    length = (patcher.num_patches - 1) * patcher.stride + patcher.patch_len
    index = torch.arange(length).unfold(0, patcher.patch_len, patcher.stride).reshape(-1)
    total = torch.zeros(length).index_add(0, index, patches.cpu().reshape(-1))
    return total / torch.zeros(length).index_add(0, index, torch.ones(len(index)))


def attention(specformer: ms.spectra.SpecFormer, batch: Batch):
    """Mean attention over heads and molecules in the last layer, with its blocks within and between the spectra."""
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
    """The spectrum embeddings along their two principal components, coloured by the HOMO-LUMO gap."""
    embedding = specformer(evaluation.spectra_of(batch, specformer)).embedding.cpu()
    centered = embedding - embedding.mean(dim=0)
    projected = centered @ torch.linalg.svd(centered, full_matrices=False).Vh[:2].T
    figure, axis = plt.subplots(figsize=(5.6, 4.4))
    points = axis.scatter(*projected.T, c=batch.gap.cpu(), cmap="viridis", s=28)
    figure.colorbar(points, label="HOMO-LUMO gap (eV)")
    axis.set(xlabel="first principal component", ylabel="second", title="spectrum embeddings, held-out molecules")
    return figure
