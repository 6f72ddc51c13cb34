"""Identification of molecules by spectra unlike those of training, with and without augmentation.

A 3D encoder and SpecFormer are trained on the computed IR spectra of MiniSpectra, once as they are and once augmented
in every step: line widths, scaled positions, other intensities, baselines and noise. The queries are spectra
of held-out molecules, changed as another level of theory, another sample and another instrument change them.

    python examples/19_computed_to_measured.py --seeds 3

All spectra are divided by their largest intensity, as those of a spectrometer have no absolute one.
"""

import argparse
import time
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
AXIS = ms.data.IR
NARROW = 4.0  # cm⁻¹, full width of the lines before they are broadened at random
augment = ms.spectra.augment
AUGMENTATION = augment.Compose(
    [
        augment.Rebroaden(fwhm=(6.0, 40.0), original=NARROW),
        augment.ScaleFactor((0.96, 1.02)),
        augment.BandGain(width=200.0, spread=(0.0, 0.3)),
        augment.Baseline(amplitude=(0.0, 0.15), degree=3),
        augment.WhiteNoise(snr=(20.0, 300.0)),
    ]
)
BACKGROUND = [augment.Baseline(amplitude=0.1, degree=3), augment.WhiteNoise(snr=30.0)]
QUERIES: dict[str, augment.Compose | None] = {
    "as in training": None,
    "shifted by 2 %": augment.Compose([augment.Rebroaden(16.0, original=NARROW), augment.ScaleFactor(0.98)]),
    "baseline and noise": augment.Compose([augment.Rebroaden(16.0, original=NARROW), *BACKGROUND]),
    **{
        f"all, lines of {fwhm} cm⁻¹": augment.Compose(
            [augment.Rebroaden(fwhm / 0.98, original=NARROW), augment.ScaleFactor(0.98), *BACKGROUND]
        )
        for fwhm in (8, 30)
    },
}


@cache
def load(split: str) -> list[Data]:
    """Load molecules with IR spectra of narrow lines, beside the stored ones."""
    dataset = ms.data.MiniSpectra(split)
    molecules = list(dataset)
    for row, molecule in enumerate(molecules):
        molecule.narrow = ms.data.broaden(*dataset.sticks(row, "ir"), AXIS, NARROW, "lorentzian")
    return molecules


def spectra_of(batch: Batch, change: augment.Compose | None, generator: torch.Generator | None = None) -> Tensor:
    """Return the stored spectra (Lorentzian, 16 cm⁻¹) or changed ones."""
    return batch.ir if change is None else change(batch.narrow, AXIS, generator)


class TwoEncoders(torch.nn.Module):
    """Encoder of molecules and encoder of spectra into one space."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ms.encoders.EGNN(CHANNELS, num_layers=3)
        self.project = ms.layers.ProjectionMLP(CHANNELS, CHANNELS)
        scaling = ms.data.PerSpectrumScaling("max")
        self.specformer = ms.spectra.SpecFormer(
            {"ir": AXIS}, 100, 100, CHANNELS, 2, 4, CHANNELS, scaling=scaling, dropout=0.1
        )

    def embed_molecules(self, batch: Batch) -> Tensor:
        atoms = ms.methods.encode(self.encoder, batch)
        return self.project(atoms.pool(batch.batch, "mean", batch.num_graphs))

    def embed_spectra(self, spectra: Tensor) -> Tensor:
        return self.specformer({"ir": spectra}).embedding


def train(change: augment.Compose | None, steps: int, seed: int) -> TwoEncoders:
    """Train both encoders by contrast."""
    torch.manual_seed(seed)
    model = TwoEncoders().to(DEVICE)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    loader = DataLoader(load("train"), 64, shuffle=True, drop_last=True)
    generator = torch.Generator(DEVICE).manual_seed(seed)
    progress = tqdm(total=steps, desc="plain" if change is None else "augmented", leave=False)
    while progress.n < steps:
        for batch, _ in zip(loader, range(steps - progress.n), strict=False):
            batch = batch.to(DEVICE)
            spectra = model.embed_spectra(spectra_of(batch, change, generator))
            loss = contrast(model.embed_molecules(batch), spectra)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            progress.update()
    progress.close()
    return model.eval()


@torch.no_grad()
def embed(model: TwoEncoders, split: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Embed the molecules of a split (B, F), and its spectra as each kind of query (B, F)."""
    batch = Batch.from_data_list(load(split)).to(DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(0)
    queries = {name: spectra_of(batch, change, generator) for name, change in QUERIES.items()}
    return model.embed_molecules(batch), {name: model.embed_spectra(query) for name, query in queries.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    found: dict[tuple[str, str], list[ms.retrieval.Evaluation]] = {}
    for seed in range(arguments.seeds):
        for name, change in {"plain": None, "augmented": AUGMENTATION}.items():
            molecules, spectra = embed(train(change, arguments.steps, seed), arguments.split)
            for query, embeddings in spectra.items():
                found.setdefault((query, name), []).append(ms.retrieval.evaluate(embeddings, molecules, k=(1, 5)))
    count = len(load(arguments.split))
    print(f"hit@1 [95 % interval] among the {count} molecules of the {arguments.split} split; mean over the seeds")
    print(f"{'queries':26}" + "".join(f"{name:34}" for name in ("plain", "augmented")) + "ratio")
    for query in QUERIES:
        # The interval of each seed is over molecules, and the spread over seeds is beside it.
        plain, augmented = (summary(found[query, name]) for name in ("plain", "augmented"))
        print(f"{query:26}{plain[1]:34}{augmented[1]:34}{augmented[0] / max(plain[0], 1 / count):.2f}")
    print(f"{1 / count:.3f} by chance, {(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


def summary(results: list[ms.retrieval.Evaluation]) -> tuple[float, str]:
    """Return the mean over seeds, and a text with the mean bounds of the intervals and the spread over seeds."""
    values, low, high = (
        torch.tensor([getattr(result.hit[1], part) for result in results]) for part in ("value", "low", "high")
    )
    spread = f" ± {values.std().item():.3f}" if len(results) > 1 else ""
    mean = values.mean().item()
    return mean, f"{mean:.3f}{spread} [{low.mean().item():.3f}, {high.mean().item():.3f}]"


if __name__ == "__main__":
    main()
