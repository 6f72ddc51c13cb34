"""The demo's training in float32 and under autocast to bfloat16: final losses side by side, and time per step.

python -m benchmarks.precision [--epochs 60 25] [--seeds 1] [--last 5]

Models, data and both stages are those of examples/01_two_stage_pretraining.py. A run and its counterpart share weights
to start from, the order of the molecules, noise and masks, so that precision alone makes the difference. Losses are
means over the last epochs and the seeds. Whether bfloat16 is faster depends on the machine; on a CPU without
instructions for it, it is slower.
"""

import argparse
import importlib
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn

import molspectra as ms
from benchmarks.timing import DEVICE, machine

EXAMPLES = Path(__file__).parents[1] / "examples"


class UnderAutocast(nn.Module):
    """A method whose forward runs under autocast to a dtype; float32 switches it off."""

    def __init__(self, method: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.method = method
        self.dtype = dtype
        self.device_type = device.type

    def forward(self, encoder, batch, generator=None):
        with torch.autocast(self.device_type, self.dtype, enabled=self.dtype != torch.float32):
            return self.method(encoder, batch, generator)


def train(demo, dtype: torch.dtype, seed: int, epochs: tuple[int, int]) -> tuple[list[dict], list[dict], float]:
    """Train both stages and return their history, and seconds per step of the second."""
    torch.manual_seed(seed)
    generator = torch.Generator(demo.DEVICE).manual_seed(seed)
    encoder, denoise = demo.make_encoder(), demo.DENOISING["coord"]().to(demo.DEVICE)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2)
    method = ms.methods.MolSpectra(denoise, demo.make_specformer(), contrast=contrast).to(demo.DEVICE)
    molecules = ms.data.MiniSpectra("train")
    stages = [UnderAutocast(each, dtype, demo.DEVICE) for each in (denoise, method)]
    first = demo.train(stages[0], encoder, molecules, epochs[0], 2e-3, generator, f"{dtype}, stage 1")
    molecules.transform = demo.hide_some_kinds
    started = time.perf_counter()
    second = demo.train(stages[1], encoder, molecules, epochs[1], 1e-3, generator, f"{dtype}, stage 2")
    steps = epochs[1] * -(-len(molecules) // demo.BATCH_SIZE)
    return first, second, (time.perf_counter() - started) / steps


def measure(epochs: tuple[int, int] = (60, 25), seeds: int = 1, last: int = 5) -> list[dict]:
    """Return one row per part of the loss and stage: final mean in either precision, and relative difference."""
    sys.path.insert(0, str(EXAMPLES))
    demo = importlib.import_module("01_two_stage_pretraining")
    losses, seconds = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        runs = [train(demo, dtype, seed, epochs) for seed in range(seeds)]
        seconds[dtype] = statistics.mean(run[2] for run in runs)
        for stage in (1, 2):
            for part in runs[0][stage - 1][0]:
                values = [epoch[part] for run in runs for epoch in run[stage - 1][-last:]]
                losses.setdefault((stage, part), {})[dtype] = statistics.mean(values)
    return [
        {
            "stage": stage,
            "part": part,
            "float32": of_part[torch.float32],
            "bfloat16": of_part[torch.bfloat16],
            "difference": of_part[torch.bfloat16] / of_part[torch.float32] - 1,
            "seconds a step": (seconds[torch.float32], seconds[torch.bfloat16]),
        }
        for (stage, part), of_part in losses.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, nargs=2, default=(60, 25), metavar=("STAGE1", "STAGE2"))
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to run (0, 1, ...)")
    parser.add_argument("--last", type=int, default=5, help="epochs to average over")
    arguments = parser.parse_args()
    rows = measure(tuple(arguments.epochs), arguments.seeds, arguments.last)

    print(f"{arguments.epochs[0]} + {arguments.epochs[1]} epochs, {arguments.seeds} seed(s); the last {arguments.last}")
    print(machine(DEVICE))
    print(f"{'stage':>5}  {'loss':16}{'float32':>10}{'bfloat16':>10}{'difference':>12}")
    for row in rows:
        print(
            f"{row['stage']:5}  {row['part']:16}{row['float32']:10.4f}{row['bfloat16']:10.4f}{row['difference']:12.2%}"
        )
    full, half = rows[-1]["seconds a step"]
    print(f"a step of stage 2: {full:.2f} s in float32, {half:.2f} s under autocast ({half / full:.2f} x)")


if __name__ == "__main__":
    main()
