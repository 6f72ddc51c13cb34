"""Retrieval between molecules and lists of peaks, and prediction of hidden peaks, in ten folds.

python -m benchmarks.peak_retrieval shifts                        DFT and measured shifts of CascadeNMR
python -m benchmarks.peak_retrieval multimodal --root folder      shards of the multimodal data set in folder/raw

Results of each fold are kept in the folder --output, from where they are read when the command is given again. With
--only, other processes may compute other folds.

For each fold a MolSpectra method (contrast, masked modelling, denoising) is trained on the other nine, with settings
that were fixed beforehand. The held-out spectra then look for their molecules, and the molecules for their spectra,
among those of the fold. Peaks are hidden as in training, one in seven, and the distribution over bins of their
positions is compared with the best guess that knows no spectrum: the bins that are most frequent in training.
Intervals are 95 % percentiles of a bootstrap over all queries, or over all hidden peaks.

Stereoisomers and other molecules of one skeleton lie in the same fold.
"""

import argparse
import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import molspectra as ms
from benchmarks.peak_data import multimodal, shifts
from molspectra.retrieval.bootstrap import bootstrap_means

MASK_RATIO = 0.15
K = (1, 5)


def make_method(axes: dict, num_bins: int, channels: int) -> tuple[ms.encoders.EGNN, ms.methods.MolSpectra]:
    """Make a molecule encoder over bonded neighbors, a SpecFormer of all kinds, and the method that trains both."""
    encoder = ms.encoders.EGNN(channels, num_layers=3, cutoff=2.0)
    # Patches of 200 cm^-1, so that the grid has about as many tokens as the lists.
    patch_len = {kind: 100 for kind, axis in axes.items() if isinstance(axis, ms.data.SpectrumAxis)}
    specformer = ms.spectra.SpecFormer(
        axes, patch_len, hidden_channels=channels, num_layers=2, num_heads=4, out_channels=channels, norm="layer"
    )
    method = ms.methods.MolSpectra(
        ms.methods.Coord(channels, std=0.04),
        specformer,
        molecule_projection=torch.nn.Linear(channels, channels),
        mask_ratio=MASK_RATIO,
        num_bins=num_bins,
        weights={"denoising": 0.1, "contrastive": 1.0, "reconstruction": 0.1},
    )
    return encoder, method


def train(encoder, method, molecules: Sequence[Data], epochs: int, seed: int, views: Sequence[Sequence[str]]) -> None:
    """Train on molecules, each batch with the kinds of one view."""
    generator = torch.Generator().manual_seed(seed)
    collate = ms.data.Collate()
    loader = DataLoader(molecules, 64, shuffle=True, generator=generator, drop_last=True)
    loader.collate_fn = collate
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs=epochs, steps_per_epoch=len(loader))
    encoder.train(), method.train()
    for _ in range(epochs):
        for batch in loader:
            view = views[int(torch.randint(len(views), (1,), generator=generator))]
            losses = method(encoder, only(batch, view), generator)
            optimizer.zero_grad()
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()


def only(batch: Batch, view: Sequence[str]) -> Data:
    """Return the molecules with the spectra of a view, "field" or "kind=field", and with no others."""
    fields = {"z": batch.z, "pos": batch.pos, "batch": batch.batch}
    for entry in view:
        kind, _, field = entry.partition("=")
        fields[kind] = batch[field or kind]
    return Data(**fields)


@torch.no_grad()
def embed_molecules(encoder, method, batches: Sequence[Batch]) -> Tensor:
    """Return embeddings of molecules, (M, F)."""
    encoder.eval(), method.eval()
    pooled = [encoder(of.z, of.pos, of.batch).pool(of.batch, num_molecules=of.num_graphs) for of in batches]
    return method.molecule_projection(torch.cat(pooled))


@torch.no_grad()
def embed_spectra(method, batches: Sequence[Batch], view: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return embeddings of the spectra of molecules, (M, F), and which molecules have one."""
    features = [method.specformer(only(batch, view)) for batch in batches]
    return torch.cat([of.embedding for of in features]), torch.cat([of.valid.any(dim=1) for of in features])


@torch.no_grad()
def hits_of_hidden(method, batches: Sequence[Batch], view: Sequence[str], frequent: dict) -> dict[str, Tensor]:
    """Return, for each kind of peaks, hits of the model and of the most frequent bins at each k, (2 len(K), peaks)."""
    found = defaultdict(list)
    generator = torch.Generator().manual_seed(0)
    for batch in batches:
        prepared = method.specformer.prepare(only(batch, view))
        hidden = method.peak_mask(prepared, generator)
        tokens = method.specformer.split(method.specformer(prepared, hidden).tokens, prepared)
        for kind in frequent:
            mask = hidden[kind]
            bins = method.peak_reconstruct.bins[kind]
            logits = method.peak_reconstruct({kind: tokens[kind][:, : mask.shape[1]]})[kind].logits[mask]
            true = bins.index(prepared.scaled[kind][..., : bins.axis.num_positions][mask])
            ranked = logits.topk(max(K), dim=1).indices == true[:, None]
            guessed = frequent[kind][: max(K)] == true[:, None]
            found[kind].append(torch.stack([side[:, :k].any(dim=1) for side in (ranked, guessed) for k in K]))
    return {kind: torch.cat(parts, dim=1) for kind, parts in found.items()}


def frequent_bins(method, molecules: Sequence[Data], view: Sequence[str]) -> dict[str, Tensor]:
    """Return the bins of each kind of peaks, the most frequent in training first."""
    order = {}
    for kind, _, field in (entry.partition("=") for entry in view):
        if bins := method.peak_reconstruct.bins.get(kind):
            peaks = torch.cat([molecule[field or kind][0, :, : bins.axis.num_positions] for molecule in molecules])
            index = bins.index(peaks[~peaks[:, 0].isnan()])
            order[kind] = index.bincount(minlength=bins.number).argsort(descending=True)
    return order


def fold_of(smiles: str, folds: int) -> int:
    """Return the fold of a molecule, by the hash of the first block of its InChIKey."""
    key = ms.retrieval.likeness.skeleton_key(ms.retrieval.likeness.parse_all("smiles", [smiles])[0])
    return int.from_bytes(hashlib.blake2b(key.encode()).digest()[:8], "big") % folds


def run(molecules: list[Data], axes: dict, views: dict, train_views: list, num_bins: int, arguments) -> None:
    """Train and measure fold by fold, and keep the results of each."""
    settings = settings_of(arguments)
    fold = torch.tensor([fold_of(molecule.smiles, arguments.folds) for molecule in molecules])
    for number in arguments.only or range(arguments.folds):
        file = arguments.output / f"fold_{number}.pt"
        if file.exists():
            continue
        begin = time.time()
        torch.manual_seed(arguments.seed + number)
        encoder, method = make_method(axes, num_bins, arguments.channels)
        training = [molecules[row] for row in (fold != number).nonzero().flatten()]
        held_out = [molecules[row] for row in (fold == number).nonzero().flatten()]
        train(encoder, method, training, arguments.epochs, arguments.seed + number, train_views)
        batches = [ms.data.Collate()(held_out[start : start + 128]) for start in range(0, len(held_out), 128)]
        known = embed_molecules(encoder, method, batches)
        results = {}
        for name, view in views.items():
            spectra, valid = embed_spectra(method, batches, view)
            hits = hits_of_hidden(method, batches, view, frequent_bins(method, training, view))
            results[name] = {"sides": (known[valid], spectra[valid]), "hits": hits}
        torch.save({"settings": settings, "results": results}, file)
        print(f"fold {number}: {len(training)} + {len(held_out)} molecules, {time.time() - begin:.0f} s", flush=True)


def settings_of(arguments) -> dict:
    """Return what the results of a fold depend on."""
    return {name: getattr(arguments, name) for name in ("data", "folds", "epochs", "channels", "seed", "molecules")}


def read(arguments) -> list[dict]:
    """Read the results of the folds that have been measured with these settings."""
    found = [torch.load(file) for file in sorted(arguments.output.glob("fold_*.pt"))]
    for one in found:
        if one["settings"] != settings_of(arguments):
            raise SystemExit(
                f"{arguments.output} holds folds of other settings, {one['settings']}; take another folder."
            )
    return [one["results"] for one in found]


def retrieval(folds: list[dict]) -> list[dict]:
    """Return hit@k with intervals of both directions for each view, over all folds, and the chance level."""
    rows = []
    for name in folds[0]:
        sides = [fold[name]["sides"] for fold in folds]
        part = torch.cat([torch.full((len(known),), number) for number, (known, _) in enumerate(sides)])
        known, spectra = (torch.cat(side) for side in zip(*sides, strict=True))
        candidates = [(part == own).nonzero().flatten() for own in part.unique()]
        lists = [candidates[own] for own in part.tolist()]
        for direction, pair in (("spectrum → molecule", (spectra, known)), ("molecule → spectrum", (known, spectra))):
            found = ms.retrieval.evaluate(*pair, k=K, mask=lists)
            rows.append(
                {
                    "spectra": name,
                    "direction": direction,
                    "queries": len(part),
                    "candidates": round(found.candidates.double().mean().item()),
                    **{f"hit@{k}": str(found.hit[k]) for k in K},
                    **{f"chance@{k}": f"{found.chance[k]:.3f}" for k in K},
                }
            )
    return rows


def peaks(folds: list[dict]) -> list[dict]:
    """Return the share of hidden peaks in the first k bins, with intervals, beside that of the most frequent bins."""
    rows = []
    for name in folds[0]:
        for kind in folds[0][name]["hits"]:
            hits = torch.cat([fold[name]["hits"][kind] for fold in folds], dim=1).double()
            estimates = bootstrap_means(hits, 1000, 0.95, 0)
            labels = [f"{side}@{k}" for side in ("hit", "frequent") for k in K]
            measured = {label: str(estimate) for label, estimate in zip(labels, estimates, strict=True)}
            rows.append({"spectra": name, "peaks of": kind, "hidden": hits.shape[1]} | measured)
    return rows


def table(rows: list[dict]) -> str:
    """Format rows in Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row.values())) + " |" for row in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=("shifts", "multimodal"))
    parser.add_argument("--root", type=Path, help="folder of the multimodal data set")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--channels", type=int, default=64, help="width of both encoders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--molecules", type=int, help="read the first molecules only")
    parser.add_argument("--only", type=int, nargs="+", help="measure these folds only")
    parser.add_argument("--output", type=Path, default=Path("peak_retrieval"), help="folder of the results")
    arguments = parser.parse_args()
    load, epochs, num_bins = {"shifts": (shifts, 12, 128), "multimodal": (multimodal, 60, 256)}[arguments.data]
    arguments.epochs = arguments.epochs or epochs
    arguments.output.mkdir(parents=True, exist_ok=True)
    if len(read(arguments)) < arguments.folds:
        run(*load(arguments.root, arguments.molecules), num_bins, arguments)
    folds = read(arguments)
    print(f"{len(folds)} of {arguments.folds} folds\n\n{table(retrieval(folds))}\n\n{table(peaks(folds))}")


if __name__ == "__main__":
    main()
