"""Fine-tuning on energies and forces: an encoder from scratch, after denoising, and after denoising and spectra.

The trajectory holds one molecule in the layout of MD17 (.npz). Without one, MD17's ethanol is downloaded. Consecutive
frames are nearly equal, so training, validation and test frames come from different stretches of time. Forces are the
gradient of the energy. At the end, the model runs molecular dynamics and should conserve the energy.

    python examples/01_two_stage_pretraining.py --seeds 3
    python examples/07_finetune_forces.py --trajectory ethanol.npz --seeds 3
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STARTS = {"from scratch": None, "denoising": "encoder_stage1", "denoising + spectra": "encoder"}


def split_frames(frames: Sequence[Data], train: int) -> dict[str, Sequence[Data]]:
    """Split frames: training evenly from the first six tenths, validation from the next two, test from the rest."""
    ends = [0, int(0.6 * len(frames)), int(0.8 * len(frames)), len(frames)]
    number = {"train": train, "validation": 100, "test": 200}
    return {
        name: frames[torch.linspace(start, end - 1, min(number[name], end - start)).long()]
        for name, start, end in zip(number, ends[:-1], ends[1:], strict=True)
    }


def make_regression(channels: int, train: Sequence[Data]) -> ms.methods.Regression:
    """Make a regression of energies about their mean, and of forces as their gradient."""
    energy = torch.cat([frame.energy for frame in train])
    rest = (energy - energy.mean()).std().item()
    # Assign the whole mean to one element: least squares cannot separate elements within one molecule.
    references = ms.heads.AtomicReferenceEnergies.fit(
        torch.cat([frame.z for frame in train]),
        torch.arange(len(train)).repeat_interleave(train[0].num_nodes),
        energy,
    )
    head = ms.heads.ScalarHead(channels, std=rest / train[0].num_nodes ** 0.5, references=references)
    return ms.methods.Regression(
        head, label="energy", forces="forces", loss="l1", weights={"property": 0.1, "forces": 1}
    )


def finetune(
    encoder: torch.nn.Module, regression: ms.methods.Regression, frames: Sequence[Data], steps: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(frames, batch_size=16, shuffle=True, generator=generator)
    parameters = [*encoder.parameters(), *regression.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    encoder.train()
    regression.train()
    done = 0
    while done < steps:
        for batch in loader:
            loss = regression(encoder, batch.to(DEVICE))["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 100.0)
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                return


@torch.no_grad()
def errors(encoder: torch.nn.Module, regression: ms.methods.Regression, frames: Sequence[Data]) -> tuple[float, float]:
    """Return the mean absolute errors of energies and of force components."""
    encoder.eval()
    regression.eval()
    of_energy, of_forces = [], []
    for batch in DataLoader(frames, batch_size=64):
        batch = batch.to(DEVICE)
        predicted = regression.predict(encoder, batch)
        of_energy.append((predicted.property.squeeze(1) - batch.energy).abs())
        of_forces.append((predicted.forces - batch.forces).abs())
    return torch.cat(of_energy).mean().item(), torch.cat(of_forces).mean().item()


def drift(
    encoder: torch.nn.Module, regression: ms.methods.Regression, frame: Data, picoseconds: float, unit: str
) -> tuple[float, float]:
    """Return the drift of the total energy in the model's own dynamics, and the kinetic energy, in meV per atom.

    Constant volume and energy, from 300 K, in steps of 0.5 fs, in float64.
    """
    import ase
    from ase.md.verlet import VelocityVerlet
    from ase.units import fs, kB

    atoms = ase.Atoms(frame.z.numpy(), frame.pos.double().numpy())
    atoms.calc = ms.ase_calculator(encoder.double(), regression.double(), unit=unit)
    thermal = np.sqrt(300 * kB * atoms.get_masses())[:, None]
    atoms.set_momenta(thermal * np.random.default_rng(0).standard_normal((len(atoms), 3)))
    dynamics, energies = VelocityVerlet(atoms, 0.5 * fs), []
    dynamics.attach(lambda: energies.append((atoms.get_total_energy(), atoms.get_kinetic_energy())), interval=10)
    dynamics.run(int(2000 * picoseconds))
    total, kinetic = 1000 / len(atoms) * np.array(energies).T
    return np.abs(total - total[0]).max(), kinetic.mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trajectory", type=Path, help=".npz in the layout of MD17 or revised MD17")
    parser.add_argument("--root", type=Path, default=Path("data/md17"), help="folder for the download of MD17")
    parser.add_argument("--pretrained", type=Path, default=Path("runs/two_stage_pretraining"))
    parser.add_argument("--frames", type=int, default=200, help="number of labelled frames")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--picoseconds", type=float, default=1.0)
    arguments = parser.parse_args()

    started = time.perf_counter()
    path = arguments.trajectory
    frames = ms.data.MD17(arguments.root, "ethanol") if path is None else ms.data.MD17.from_file(path)
    splits = split_frames(frames, arguments.frames)
    unit = frames.units["energy"]
    print(f"mean absolute errors on {len(splits['test'])} frames, of energies ({unit}) and forces ({unit}/Å)")
    for start, folder in STARTS.items():
        found = []
        for seed in tqdm(range(arguments.seeds), start, leave=False):
            encoder = ms.pretrained.load(arguments.pretrained / f"seed{seed}" / (folder or "encoder"))
            torch.manual_seed(seed)
            if folder is None:
                encoder = type(encoder)(**encoder.config)  # the same architecture with new weights
            encoder = encoder.to(DEVICE)
            regression = make_regression(encoder.out_channels, splits["train"]).to(DEVICE)
            finetune(encoder, regression, splits["train"], arguments.steps, seed)
            found.append(errors(encoder, regression, splits["test"]))
        found = torch.tensor(found)
        spread = found.std(dim=0) if len(found) > 1 else [float("nan")] * 2
        print(
            start.ljust(22) + "   ".join(f"{m:.3f} ± {s:.3f}" for m, s in zip(found.mean(dim=0), spread, strict=True))
        )
    strayed, kinetic = drift(encoder, regression, splits["test"][0], arguments.picoseconds, unit)
    print(
        f"the last model's dynamics, {arguments.picoseconds} ps: total energy within {strayed:.2f} meV an atom, "
        f"kinetic energy {kinetic:.1f} meV an atom"
    )
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
