"""Measurements of the examples, on molecules that training has not seen (MiniSpectra's test split, 73 molecules)."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

import molspectra as ms

Results = dict[str, float]
Transform = Callable[[Data], Data]


@cache
def load(split: str, pre_transform: Transform | None = None) -> Batch:
    """Load a whole split as one batch."""
    return Batch.from_data_list(list(ms.data.MiniSpectra(split, pre_transform=pre_transform)))


@cache
def batches(split: str) -> list[Batch]:
    """Load a whole split in small batches, which is 3× faster than one large batch."""
    molecules = ms.data.MiniSpectra(split)
    return [Batch.from_data_list(list(molecules[start : start + 32])) for start in range(0, len(molecules), 32)]


def spectra_of(batch: Batch, specformer: ms.spectra.SpecFormer) -> dict[str, Tensor]:
    return {kind: batch[kind] for kind in specformer.kinds}


def on_device_of(module: torch.nn.Module, batch: Batch) -> Batch:
    return batch.clone().to(next(module.parameters()).device)


@torch.no_grad()
def embed(encoder: torch.nn.Module, split: str) -> Tensor:
    """Compute frozen features of each molecule, (B, C) in float64 on the CPU.

    They are the sum and the mean over atoms of the output, or what the card of a model of the package recommends.
    """
    layers, pool = ms.pretrained.recommended_reading(encoder) or (None, "sum+mean")
    rows = ms.embed(encoder, list(ms.data.MiniSpectra(split)), pool, layers=layers, batch_size=32, output="torch")
    return rows.flatten(start_dim=1).double()


def gap_error(encoder: torch.nn.Module, split: str) -> Results:
    """Compute the mean absolute error in eV of the HOMO-LUMO gap by ridge regression on frozen features.

    One value is fitted to the training split and evaluated on `split`. The other is over 10 folds of the whole data
    set: ten times as many molecules, most of which the encoder has seen, without their gaps.
    """
    known, asked, gaps = (load(name).gap.double() for name in ("train", split, "all"))
    predicted = ridge(embed(encoder, "train"), known, embed(encoder, split))
    return {
        "gap": (predicted - asked).abs().mean().item(),
        "gap, 10 folds": ten_folds(embed(encoder, "all"), gaps),
    }


def ten_folds(features: Tensor, values: Tensor) -> float:
    """Compute the mean absolute error of ridge regression, each fold predicted from the others."""
    fold = torch.arange(len(values)) % 10
    errors = []
    for held_out in range(10):
        of_fold = fold == held_out
        errors.append(ridge(features[~of_fold], values[~of_fold], features[of_fold]) - values[of_fold])
    return torch.cat(errors).abs().mean().item()


def guess_error(split: str) -> Results:
    """Compute the mean absolute error of the mean training gap as prediction."""
    mean = load("train").gap.double().mean()
    names = {"gap": split, "gap, 10 folds": "all"}
    return {probe: (load(name).gap.double() - mean).abs().mean().item() for probe, name in names.items()}


def ridge(known: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    """Fit a ridge regression with the penalty of least leave-one-out error."""
    mean, std = known.mean(dim=0), known.std(dim=0).clamp(min=1e-8)
    centered = values - values.mean()
    left, singular, right = torch.linalg.svd((known - mean) / std, full_matrices=False)

    def leave_one_out(penalty: float) -> float:
        shrinkage = singular.square() / (singular.square() + penalty)
        leverage = (left.square() * shrinkage).sum(dim=1) + 1 / len(values)
        residual = centered - left @ (shrinkage * (left.T @ centered))
        return (residual / (1 - leverage)).square().mean().item()

    penalty = min(torch.logspace(-3, 4, 29).tolist(), key=leave_one_out)
    weights = right.T @ (singular / (singular.square() + penalty) * (left.T @ centered))
    return (asked - mean) / std @ weights + values.mean()


@torch.no_grad()
def retrieval(encoder: torch.nn.Module, method: ms.methods.MolSpectra, split: str) -> Results:
    """Compute top-1 and top-5 accuracy of retrieval within the split, in both directions."""
    encoder.eval()
    method.eval()
    batch = on_device_of(encoder, load(split))
    atoms = ms.methods.encode(encoder, batch)
    molecules = method.molecule_projection(atoms.pool(batch.batch, num_molecules=batch.num_graphs))
    spectra = method.specformer(spectra_of(batch, method.specformer)).embedding
    encoder.train()
    method.train()
    directions = {"spectrum → molecule": (spectra, molecules), "molecule → spectrum": (molecules, spectra)}
    return {
        f"{name}, top {k}": share
        for name, (queries, library) in directions.items()
        for k, share in ms.retrieval.topk_accuracy(queries, library, ks=(1, 5)).items()
    }


@torch.no_grad()
def models_of_the_package(split: str) -> Results:
    """Compute the same for the weights of the package, which no molecule of MiniSpectra has trained."""
    encoder, specformer = ms.pretrained.load("molspectra-mini")
    results = {}
    for name, model in {"coord-mini": ms.pretrained.load("coord-mini"), "molspectra-mini": encoder}.items():
        results |= {f"{probe}: {name}": error for probe, error in gap_error(model, split).items()}
    batch = load(split)
    axes = {kind: ms.data.MiniSpectra.axes[kind] for kind in specformer.kinds}
    spectra = specformer(spectra_of(batch, specformer), axes=axes).embedding
    molecules = ms.methods.encode(encoder, batch).pool(batch.batch, num_molecules=batch.num_graphs)
    found = ms.retrieval.topk_accuracy(spectra, molecules, ks=(1, 5))
    return results | {f"IR + Raman → molecule, molspectra-mini, top {k}": share for k, share in found.items()}


@torch.no_grad()
def reconstruction_error(method: ms.methods.MolSpectra, split: str) -> Results:
    """Compute the squared error on hidden samples, relative to the mean training spectrum."""
    method.eval()
    specformer = method.specformer
    spectra, known = (spectra_of(on_device_of(method, load(name)), specformer) for name in (split, "train"))
    masked = method.mask(spectra, torch.Generator(next(iter(spectra.values())).device).manual_seed(0))
    predicted = method.reconstruct(specformer.split(specformer(spectra, masked).tokens))
    target, known_patches = specformer.patches(spectra), specformer.patches(known)
    method.train()
    results = {}
    for kind, mask in masked.items():
        hidden = specformer.patchers[kind].expand(mask)
        error = (predicted[kind] - target[kind])[hidden]
        error_of_mean = (known_patches[kind].mean(dim=0) - target[kind])[hidden]
        results[f"reconstruction, {kind}"] = (error.square().mean() / error_of_mean.square().mean()).item()
    return results


@torch.no_grad()
def denoising_error(
    encoder: torch.nn.Module, denoise: ms.methods.Denoising, split: str, pre_transform: Transform | None = None
) -> Results:
    """Compute the squared error of predicted displacements, gradients or forces, relative to predicting zero."""
    encoder.eval()
    denoise.eval()
    batch = on_device_of(encoder, load(split, pre_transform))
    noisy = denoise.noise(batch, torch.Generator(batch.pos.device).manual_seed(0))
    predicted, _ = ms.methods.predict_vectors(encoder, denoise.head, noisy)
    if "force_target" in noisy:
        target = noisy.force_target / noisy.noise_scale[noisy.batch, None]
        error, error_of_none = ((guess - target).square().sum() for guess in (predicted, torch.zeros_like(predicted)))
    else:
        target = noisy.gradient_target if "gradient_target" in noisy else noisy.pos_target
        error, error_of_none = (denoise.objective(guess, target) for guess in (predicted, torch.zeros_like(predicted)))
    encoder.train()
    denoise.train()
    return {"denoising": (error / error_of_none).item()}


def table(runs: list[Results], split: str) -> str:
    """Format mean ± spread over the runs beside chance or baseline."""
    guess = guess_error(split)
    rows = []
    for name in runs[0]:
        values = torch.tensor([run[name] for run in runs], dtype=torch.float64)
        spread = f" ± {values.std().item():.3f}" if len(runs) > 1 else ""
        if "top" in name:
            k = int(name[-1])
            rows.append((name, f"{values.mean():.3f}{spread}", f"{k / load(split).num_graphs:.3f} by chance"))
        elif "gap" in name:
            probe = name.split(":")[0]
            rows.append((name, f"{values.mean():.3f}{spread} eV", f"{guess[probe]:.3f} eV by the mean gap"))
        else:
            baseline = "predicting no noise" if name == "denoising" else "the mean spectrum"
            rows.append((name, f"{values.mean():.3f}{spread}", f"1 by {baseline}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    header = (f"on the {split} split", "measured", "baseline")
    lines = [header, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
