"""A step of SpecFormer by the type of its tokens: patches of a grid, and peaks of one and of two positions.

Width, layers and heads are the released ones. The first rows have as many tokens of each type, those of an infrared
spectrum in the released patches. The others have more peaks. On the CPU, seconds are of its time, not of the clock on
the wall, so that other work of the machine does not count.
"""

import time
from collections.abc import Callable

import torch

from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved
from molspectra.data import IR, PeakAxis
from molspectra.spectra import SpecFormer

TITLE = "SpecFormer by the type of its tokens: width 128, 3 layers, 16 heads, batch 16"
BATCH = 16
AXES = {
    "patches of IR": IR,
    "sticks of IR": PeakAxis("ir", "cm^-1", (0, 4500)),
    "13C NMR": PeakAxis("c_nmr", "ppm", (-20, 240)),
    "HSQC": PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)]),
    "MS/MS, with losses": PeakAxis("ms_ms", "m/z", (0, 1000), precursor="precursor_mz"),
}


def make_step(kind: str, peaks: int) -> Callable[[], None]:
    """Make a training step without the optimizer, of K peaks, or of the patches of the grid."""
    torch.manual_seed(0)
    axis = AXES[kind]
    module = SpecFormer({"kind": axis}, hidden_channels=128, num_layers=3, num_heads=16).to(DEVICE).train()
    if isinstance(axis, PeakAxis):
        columns = [torch.rand(BATCH, peaks, device=DEVICE) * high for _, high in axis.ranges]
        spectra = {"kind": torch.stack([*columns, torch.rand(BATCH, peaks, device=DEVICE)], dim=-1)}
        if axis.precursor:
            spectra[axis.precursor] = torch.full((BATCH, 1), 800.0, device=DEVICE)
    else:
        spectra = {"kind": torch.rand(BATCH, axis.length, device=DEVICE)}

    def step() -> None:
        module.zero_grad(set_to_none=True)
        module(spectra).embedding.square().sum().backward()

    return step


def measure(peaks: tuple[int, ...] = (139, 278, 556), repeats: int = 3) -> list[dict]:
    """Measure seconds and peak memory of a step, and their ratios to the grid's."""
    first, *more = peaks
    # Each peak has a second token of its loss, and the precursor is one more.
    cases = {(kind, (first - 1) // 2 if "losses" in kind else first): first for kind in AXES}
    cases |= {("13C NMR", number): number for number in more}
    steps = {case: make_step(*case) for case in cases}
    clock = time.process_time if DEVICE.type == "cpu" else time.perf_counter
    seconds = interleaved(steps, repeats, DEVICE, clock)
    memory = {case: peak_memory_of(make_step, *case) / MIB for case in cases}
    grid = ("patches of IR", first)
    return [
        {
            "tokens of": kind,
            "tokens": tokens,
            "train, s": seconds[kind, number],
            "× grid": seconds[kind, number] / seconds[grid],
            "peak MiB": memory[kind, number],
            "MiB / token": memory[kind, number] / tokens,
        }
        for (kind, number), tokens in cases.items()
    ]
