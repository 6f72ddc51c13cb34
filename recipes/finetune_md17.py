"""Fine-tuning on energies and forces of MD17, from scratch and from pre-trained weights.

    python recipes/finetune_md17.py ethanol.npz --frames 950 --seeds 3 --output runs/finetune_md17
    python recipes/finetune_md17.py ethanol.npz --by time --output runs/finetune_md17_time

The file has the layout of MD17, revised MD17 or sGDML. 50 frames are for validation and the rest for the test. Random
frames are what the papers report. Their neighbors in time are in the training set, and nearly equal. Blocks of time,
`--by time`, tell how a model extrapolates. The papers train on 950 frames for 3,000 epochs and more.
"""

import argparse
import json
from pathlib import Path

import torch
from benchmark import make_encoder
from torch_geometric.data import Batch
from training import DEVICE, Schedule, draw, train

import molspectra as ms

NUM_VALIDATION = 50


def split(frames: ms.data.Trajectory, labels: int, by: str) -> dict[str, ms.data.Trajectory]:
    """Split frames at random, or in the order of time: training first, then validation, then test."""
    order = torch.arange(len(frames))
    if by == "random":
        order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))
    end = labels + NUM_VALIDATION
    return {"train": frames[order[:labels]], "validation": frames[order[labels:end]], "test": frames[order[end:]]}


def make_regression(channels: int, known: ms.data.Trajectory) -> ms.methods.Regression:
    """Make a regression of energies about their mean, and of forces as their gradient."""
    number = len(known.z)
    std = known.energy.std().item() / number**0.5  # of the contribution of an atom
    molecule_of = torch.arange(len(known)).repeat_interleave(number)
    # The mean energy is that of the atoms: least squares cannot separate the elements of one molecule.
    references = ms.heads.AtomicReferenceEnergies.fit(known.z.repeat(len(known)), molecule_of, known.energy)
    head = ms.heads.ScalarHead(channels, std=std, references=references)
    weights = {"property": 0.1, "forces": 1.0}
    return ms.methods.Regression(head, label="energy", forces="forces", loss="l1", weights=weights)


def errors(encoder: torch.nn.Module, regression: ms.methods.Regression, frames: ms.data.Trajectory) -> list[float]:
    """Compute the mean absolute errors of energies and of force components."""
    encoder.eval()
    regression.eval()
    of_energy, of_forces = [], []
    for start in range(0, len(frames), 64):
        batch = Batch.from_data_list([*frames[start : start + 64]]).to(DEVICE)
        predicted = regression.predict(encoder, batch)
        of_energy.append((predicted.property.detach().squeeze(1) - batch.energy).abs())
        of_forces.append((predicted.forces.detach() - batch.forces).abs())
    return [torch.cat(of_energy).mean().item(), torch.cat(of_forces).mean().item()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trajectory", type=Path)
    parser.add_argument("--frames", type=int, default=950, help="number of training frames")
    parser.add_argument("--by", choices=("random", "time"), default="random")
    parser.add_argument("--models", nargs="+", default=["coord-mini", "molspectra-mini"])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    frames = ms.data.MD17.from_file(arguments.trajectory)
    parts = split(frames, arguments.frames, arguments.by)
    known = [*parts["train"]]
    results: dict[str, list[float]] = {}
    print(f"mean absolute errors of energies ({frames.unit}) and forces ({frames.unit}/Å)")
    for start in ("scratch", *arguments.models):
        runs = []
        for seed in range(arguments.seeds):
            encoder = make_encoder(start, arguments.models[0], seed)
            regression = make_regression(encoder.out_channels, parts["train"])
            model = ms.methods.TrainingModule(encoder, regression)
            steps = arguments.steps
            schedule = Schedule(
                steps, arguments.learning_rate, warmup=steps // 10, decay=0.9, max_norm=100.0, seed=seed
            )
            name = f"{start.replace('/', '_')}-{arguments.frames}-{seed}"
            train(model, lambda generator: draw(known, 16, generator), schedule, arguments.output / name)
            runs.append(errors(encoder, regression, parts[arguments.split]))
            results[name] = runs[-1]
        found = torch.tensor(runs)
        spread = found.std(dim=0).tolist() if len(runs) > 1 else [float("nan")] * 2
        cells = (f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(found.mean(dim=0).tolist(), spread, strict=True))
        print(start.ljust(22) + "   ".join(cells), flush=True)
    (arguments.output / f"{arguments.split}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
