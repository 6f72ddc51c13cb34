"""Stage 1: train a 3D encoder by denoising (Coord, Frad, SliDe, 3D-EMGP, EMPP).

    python recipes/pretrain_encoder.py --geometries runs/corpus/geometries --output runs/coord
    python recipes/pretrain_encoder.py --geometries runs/corpus/geometries --task frad --output runs/frad

Repeat the command to go on after an interruption. `make_corpus.py` makes the geometries.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch_geometric.data import Batch
from training import Schedule, train

import molspectra as ms


@dataclass(frozen=True)
class Settings:
    """Sizes of the encoder and of the training."""

    channels: int
    num_layers: int
    num_heads: int
    num_rbf: int
    batch_size: int
    schedule: Schedule
    noise: float | tuple[float, float] = (0.04, 0.4)  # Å


SETTINGS = {
    "mini": Settings(128, 3, 8, 32, 64, Schedule(steps=10_000)),
    # Coord's: 400,000 steps of 70 molecules of PCQM4Mv2, with one noise strength.
    "paper": Settings(256, 8, 8, 64, 70, Schedule(steps=400_000, learning_rate=4e-4, warmup=10_000), noise=0.04),
}
TASKS = {
    "coord": lambda channels, noise: ms.methods.Coord(channels, noise, remove_translation=True),
    "frad": lambda channels, noise: ms.methods.Frad(channels),
    "slide": lambda channels, noise: ms.methods.SliDe(channels),
    "emgp": lambda channels, noise: ms.methods.EMGP(channels),
    "empp": lambda channels, noise: ms.methods.EMPP(channels),
}
NEEDS_TOPOLOGY = ("frad", "slide")  # make_corpus.py --topology


def make_encoder(settings: Settings) -> torch.nn.Module:
    return ms.encoders.EquivariantTransformer(
        settings.channels,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        num_rbf=settings.num_rbf,
        norm_every_layer=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--geometries", type=Path, required=True, help="MoleculeStore of conformers")
    parser.add_argument("--task", choices=TASKS, default="coord")
    parser.add_argument("--settings", choices=SETTINGS, default="mini")
    parser.add_argument("--steps", type=int, help="number of steps, instead of that of the settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    settings = SETTINGS[arguments.settings]
    schedule = replace(settings.schedule, seed=arguments.seed, steps=arguments.steps or settings.schedule.steps)
    geometries = ms.data.MoleculeStore(arguments.geometries)
    needed = geometries.fields if arguments.task in NEEDS_TOPOLOGY else ("z", "pos")
    others = [field for field in geometries.fields if field not in needed or field == "smiles"]

    def batch(generator: torch.Generator) -> Batch:
        rows = torch.randint(len(geometries), (settings.batch_size,), generator=generator)
        return geometries.batch(rows, exclude_keys=others)

    torch.manual_seed(arguments.seed)
    task = TASKS[arguments.task](settings.channels, settings.noise)
    train(ms.methods.TrainingModule(make_encoder(settings), task), batch, schedule, arguments.output)


if __name__ == "__main__":
    main()
