"""Stage 2: go on with denoising, and align the 3D encoder with SpecFormer on infrared and Raman spectra (MolSpectra).

    python recipes/pretrain_molspectra.py --start runs/coord/plateau --geometries runs/corpus/geometries \
        --output runs/molspectra

The spectra are those of `XTBVibrations`, broadened anew in each step. Widths and ranges are drawn, and kinds are hidden
at random. Beside MolSpectra's three losses a head predicts the spectra from the same perturbed molecules.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from spectrum_task import AlsoPredictSpectra
from torch_geometric.data import Batch, Data
from training import Schedule, train

import molspectra as ms

KINDS = ("ir", "raman")
AXES = {kind: ms.data.SpectrumAxis(kind, 500, 4000, 4, "cm^-1") for kind in KINDS}
SMOOTH = {f"smooth_{kind}": ms.data.SpectrumAxis(f"smooth_{kind}", 100, 3900, 10, "cm^-1") for kind in KINDS}
AUGMENTATIONS = [
    ms.spectra.augment.BroadenSticks(fwhm=(8, 30)),
    ms.spectra.augment.Sometimes(ms.spectra.augment.CropRange(start=(500, 1000), stop=(3000, 4000)), probability=0.3),
]


@dataclass(frozen=True)
class Settings:
    """Composition of a batch, and weights of the losses."""

    schedule: Schedule
    num_spectra: int = 64
    num_geometries: int = 32
    hidden: float = 0.25  # share of hidden spectra of each kind
    temperature: float = 0.1
    noise: tuple[float, float] = (0.01, 0.2)  # Å, weaker than in stage 1: the spectra are those of the molecule at rest
    prediction: float = 1.0
    contrast: float = 1.0
    reconstruction: float = 0.3


SETTINGS = {"mini": Settings(Schedule(steps=2_000, learning_rate=4e-4, warmup=100, decay=0.5, save_every=250))}


def make_specformer(channels: int) -> ms.spectra.SpecFormer:
    return ms.spectra.SpecFormer(
        AXES,
        patch_len=20,  # 80 cm^-1
        stride=20,  # without overlap, 3 × faster
        hidden_channels=channels,
        num_layers=3,
        num_heads=8,
        out_channels=channels,
        scaling=ms.data.Log10Scaling(0.01),
        position="axis",
    )


class Spectra:
    """Molecules with spectra: lines as stored, which become spectra batch by batch."""

    def __init__(self, split: str) -> None:
        lines = ms.data.XTBVibrations(split, axes=None)
        self.molecules = [Data(z=data.z, pos=data.pos, ir=data.ir, raman=data.raman) for data in lines]
        self.augment = ms.spectra.augment.Augment(dict.fromkeys(KINDS, AUGMENTATIONS), AXES)
        self.smooth = ms.spectra.augment.BroadenSticks(fwhm=40)

    def add_spectra(self, batch: Batch, hidden: float, generator: torch.Generator) -> Batch:
        """Broaden the lines of a batch, and hide a share of the spectra of each kind."""
        for kind in KINDS:
            batch[f"smooth_{kind}"] = self.smooth(batch[kind], SMOOTH[f"smooth_{kind}"], generator)
        batch = self.augment(batch, generator)
        for kind in KINDS:
            rows = torch.rand(batch.num_graphs, 1, generator=generator) < hidden
            batch[kind] = batch[kind].masked_fill(rows, torch.nan)
        return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--start", type=Path, required=True, help="folder that stage 1 saved")
    parser.add_argument("--geometries", type=Path, required=True, help="MoleculeStore of conformers")
    parser.add_argument("--settings", choices=SETTINGS, default="mini")
    parser.add_argument("--steps", type=int, help="number of steps, instead of that of the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    settings = SETTINGS[arguments.settings]
    schedule = replace(settings.schedule, seed=arguments.seed, steps=arguments.steps or settings.schedule.steps)
    torch.manual_seed(arguments.seed)
    start = ms.pretrained.load(arguments.start)
    task = start.method
    if isinstance(task, ms.methods.Coord):  # the same head, with weaker noise
        task = type(task)(**{**task.config, "std": settings.noise})
        task.load_state_dict(start.method.state_dict())
    channels = start.encoder.out_channels
    spectra = Spectra("train")
    geometries = ms.data.MoleculeStore(arguments.geometries)
    head = ms.heads.SpectrumHead(channels, SMOOTH, spacing=2)
    everything = ms.data.Collate()(spectra.molecules)
    smooth = {kind: spectra.smooth(everything[kind.removeprefix("smooth_")], axis) for kind, axis in SMOOTH.items()}
    head.start_from(smooth, everything.ptr.diff())
    method = ms.methods.MolSpectra(
        AlsoPredictSpectra(task, head, settings.prediction),
        make_specformer(channels),
        contrast=ms.objectives.InfoNCELoss(settings.temperature),
        weights={"denoising": 1.0, "contrastive": settings.contrast, "reconstruction": settings.reconstruction},
    )
    collate = ms.data.Collate()

    def batch(generator: torch.Generator) -> Batch:
        known = torch.randint(len(spectra.molecules), (settings.num_spectra,), generator=generator)
        others = torch.randint(len(geometries), (settings.num_geometries,), generator=generator)
        molecules = [spectra.molecules[row] for row in known]
        molecules += [Data(z=geometries[row].z, pos=geometries[row].pos) for row in others]
        return spectra.add_spectra(collate(molecules), settings.hidden, generator)

    train(ms.methods.TrainingModule(start.encoder, method), batch, schedule, arguments.output)


if __name__ == "__main__":
    main()
