"""Training loop of the recipes: a learning rate with warm-up, plateau and decay, a log, and resumable checkpoints."""

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch_geometric.data import Batch, Data

import molspectra as ms

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Schedule:
    """Optimizer settings. The learning rate rises for `warmup` steps, and falls to 0 in the last share `decay`."""

    steps: int
    learning_rate: float = 5e-4
    warmup: int = 300
    decay: float = 0.33
    weight_decay: float = 0.01
    max_norm: float = 5.0
    log_every: int = 100
    save_every: int = 500
    seed: int = 0

    @property
    def plateau_end(self) -> int:
        """Step at which the learning rate begins to fall."""
        return self.steps - round(self.decay * self.steps)

    def factor(self, step: int) -> float:
        """Compute the share of the learning rate at a step, counted from 0."""
        falling = (self.steps - step) / max(self.steps - self.plateau_end, 1)
        return min(1.0, (step + 1) / max(self.warmup, 1), falling)


def draw(molecules: Sequence[Data], number: int, generator: torch.Generator) -> Batch:
    """Draw the molecules of a step."""
    rows = torch.randint(len(molecules), (number,), generator=generator)
    return Batch.from_data_list([molecules[row] for row in rows])


def train(
    model: ms.methods.TrainingModule,
    batch: Callable[[torch.Generator], Data],
    schedule: Schedule,
    folder: Path,
) -> None:
    """Train encoder and method, and save both in `<folder>/plateau` and `<folder>/final`.

    A second call, with the same schedule, goes on after the last checkpoint, or loads the final weights. Everything
    random in a step comes from the seed and the number of the step, so that an interrupted training gives the losses of
    an uninterrupted one.

    Args:
        model: Encoder and method.
        batch: Draws the molecules of a step, with the generator of that step on the CPU.
        schedule: Number of steps, and the settings of the optimizer.
        folder: Folder of the log, the checkpoint and the weights.
    """
    model.to(DEVICE).train()
    optimizer = torch.optim.AdamW(model.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    first = _resume(folder, model, optimizer, schedule)
    sums: dict[str, float] = {}
    count = 0
    started = time.perf_counter()
    for step in range(first, schedule.steps):
        if step == schedule.plateau_end:
            ms.pretrained.save(model, folder / "plateau")
        seed = schedule.seed * 1_000_003 + step
        losses = model(batch(torch.Generator().manual_seed(seed)).to(DEVICE), torch.Generator(DEVICE).manual_seed(seed))
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * schedule.factor(step)
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.max_norm)
        optimizer.step()
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.detach()
        count += 1
        if (step + 1) % schedule.log_every == 0 or step + 1 == schedule.steps:
            means = {name: float(total) / count for name, total in sums.items()}
            _log(folder / "log.csv", {"step": step + 1, "seconds": round(time.perf_counter() - started, 1), **means})
            sums, count = {}, 0
        if (step + 1) % schedule.save_every == 0 or step + 1 == schedule.steps:
            _save(folder, step + 1, model, optimizer, schedule)
    ms.pretrained.save(model, folder / "final")


def _resume(folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule) -> int:
    """Load the checkpoint of an interrupted training, and return the step to go on with.

    Raises:
        ValueError: the folder holds a training of another schedule.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return 0
    state = torch.load(path, map_location=DEVICE, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise ValueError(
            f"{folder} holds a training with {state['schedule']}; got {asdict(schedule)}. Choose another output folder."
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _forget_later_rows(folder / "log.csv", int(state["step"]))
    return int(state["step"])


def _forget_later_rows(path: Path, step: int) -> None:
    """Delete the rows of steps after the checkpoint, which will be made again."""
    if path.is_file():
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row[0] == "step" or int(row[0]) <= step]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)


def _save(
    folder: Path, step: int, model: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule
) -> None:
    """Write a checkpoint, under another name first: a kill during writing leaves the one before it."""
    unfinished = folder / "checkpoint.part"
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({"step": step, "schedule": asdict(schedule), **state}, unfinished)
    unfinished.replace(folder / "checkpoint.pt")


def _log(path: Path, row: dict[str, float]) -> None:
    """Append a row to a table, and print it."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
    print("  ".join(f"{name} {value:.5g}" for name, value in row.items()), flush=True)
