"""Identification of molecules by spectra of another instrument: a shorter range, and a coarser grid.

SpecFormer and a 3D encoder are trained by contrast, on spectra from 500 to 4000 cm^-1. Then infrared and Raman spectra
from 800 to 3600 cm^-1 at steps of 2 cm^-1 are looked up, with UV-Vis spectra as trained. Learned positions read them by
interpolation, with gaps at both ends. Positions on the axis read the patches that are there. Training with random
ranges, in half of the spectra, prepares for missing ends.

    python examples/20_another_instrument.py --seeds 3
"""

import argparse
import time

import torch
from torch_geometric.data import Batch, Data
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
INSTRUMENT = {kind: ms.data.SpectrumAxis(kind, 800, 3600, 2, "cm^-1") for kind in ("ir", "raman")}
RANGES = {
    kind: ms.spectra.augment.Sometimes(ms.spectra.augment.CropRange(start=(500, 1000), stop=(3000, 4000)))
    for kind in INSTRUMENT
}
TRAINING = {"whole spectra": False, "random ranges": True}


def make_specformer(position: str, num_bands: int) -> ms.spectra.SpecFormer:
    units = {"uv_vis": 0.1, "ir": 0.01, "raman": 0.01}
    return ms.spectra.SpecFormer(
        ms.data.MiniSpectra.axes,
        patch_len={"uv_vis": 20, "ir": 50, "raman": 50},
        stride={"uv_vis": 20, "ir": 50, "raman": 50},  # without overlap, 3× faster
        hidden_channels=CHANNELS,
        num_layers=2,
        num_heads=4,
        out_channels=CHANNELS,
        scaling={kind: ms.data.Log10Scaling(unit) for kind, unit in units.items()},
        position=position,
        num_bands=num_bands,
    )


def spectra_of(batch: Data) -> dict[str, torch.Tensor]:
    return {kind: batch[kind] for kind in ms.data.MiniSpectra.axes}


def train(encoder, specformer, molecules: list[Data], epochs: int, random_ranges: bool, seed: int) -> None:
    """Contrast molecules with their spectra, of which a random half of the kinds is hidden."""
    generator = torch.Generator(DEVICE).manual_seed(seed)
    augment = ms.spectra.augment.Augment(RANGES, ms.data.MiniSpectra.axes)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2)
    parameters = [*encoder.parameters(), *specformer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    batches = max(len(molecules) // 64, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, epochs=epochs, steps_per_epoch=batches)
    for _ in range(epochs):
        order = torch.randperm(len(molecules)).split(64)[:batches]
        for rows in order:
            batch = Batch.from_data_list([molecules[row] for row in rows]).to(DEVICE)
            spectra = spectra_of(augment(batch, generator) if random_ranges else batch)
            for kind in spectra:
                hidden = torch.rand(len(rows), 1, generator=generator, device=DEVICE) < 0.5
                spectra[kind] = spectra[kind].masked_fill(hidden, torch.nan)
            features = specformer(spectra)
            atoms = ms.methods.encode(encoder, batch).pool(batch.batch, num_molecules=len(rows))
            loss = contrast(atoms, features.embedding, valid=features.valid.any(dim=1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()


@torch.no_grad()
def evaluate(encoder, specformer, batch: Batch) -> dict[str, float]:
    """Compute the share of spectra whose molecule is the first hit, for whole spectra and for the instrument's."""
    encoder.eval()
    specformer.eval()
    spectra = spectra_of(batch)
    measured = {
        kind: ms.data.resample(spectra[kind], ms.data.MiniSpectra.axes[kind], axis) for kind, axis in INSTRUMENT.items()
    }
    molecules = ms.methods.encode(encoder, batch).pool(batch.batch, num_molecules=batch.num_graphs)
    queries = {
        "whole": specformer(spectra).embedding,
        "instrument": specformer(spectra | measured, axes=INSTRUMENT).embedding,
    }
    return {
        f"{name}, top {k}": share
        for name, embedding in queries.items()
        for k, share in ms.retrieval.topk_accuracy(embedding, molecules, ks=(1, 5)).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--bands", type=int, default=32)
    parser.add_argument("--positions", nargs="+", choices=("learned", "axis"), default=("learned", "axis"))
    parser.add_argument("--training", nargs="+", choices=TRAINING, default=tuple(TRAINING))
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    molecules = list(ms.data.MiniSpectra("train"))
    asked = Batch.from_data_list(list(ms.data.MiniSpectra(arguments.split))).to(DEVICE)
    print(f"share of {asked.num_graphs} spectra whose molecule is found, {arguments.seeds} seeds")
    for position in arguments.positions:
        for training in arguments.training:
            runs = []
            for seed in tqdm(range(arguments.seeds), f"{position}, {training}", leave=False):
                torch.manual_seed(seed)
                encoder = ms.encoders.EGNN(CHANNELS, num_layers=3).to(DEVICE)
                specformer = make_specformer(position, arguments.bands).to(DEVICE)
                train(encoder, specformer, molecules, arguments.epochs, TRAINING[training], seed)
                runs.append(evaluate(encoder, specformer, asked))
            cells = []
            for name in runs[0]:
                shares = torch.tensor([run[name] for run in runs])
                spread = f" ± {shares.std().item():.3f}" if len(runs) > 1 else ""
                cells.append(f"{name} {shares.mean().item():.3f}{spread}")
            print(f"{position + ', ' + training:24}" + "   ".join(cells), flush=True)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
