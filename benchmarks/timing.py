"""Fair timing of several implementations of the same computation."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

MIB = 2**20
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def interleaved(
    steps: dict[str, Callable[[], object]],
    repeats: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median seconds of each step. Steps alternate, so that a slowdown of the machine affects all of them.

    In its turn a step runs twice, and the second time counts: after the others, memory has to be taken from the system
    again, which is no part of running a step over and over.
    """
    seconds = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            step()
            synchronize(device)
            start = clock()
            step()
            synchronize(device)
            seconds[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(step: Callable[[], None], device: torch.device) -> float:
    """Return the bytes that a step needs beyond the memory before it. On the CPU, call it once per process."""
    if device.type == "cuda":
        step()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    before = peak_of_this_process()
    step()
    return peak_of_this_process() - before


def peak_of_this_process() -> float:
    """Return the peak memory of this process in bytes (Linux). Unlike getrusage, it excludes the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * float(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def memory_size(device: torch.device) -> int:
    """Return the memory of the device in bytes."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def in_a_process_of_its_own(module: str, *arguments: str) -> float:
    """Run `python -m module arguments` and read the number it prints last."""
    command = [sys.executable, "-m", module, *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matmul_rate(device: torch.device, size: int | None = None, dtype: torch.dtype = torch.float32) -> float:
    """Measure the best floating-point operations per second of a plain matrix product."""
    size = size or (8192 if device.type == "cuda" else 2048)
    factors = torch.randn(2, size, size, device=device, dtype=dtype)
    seconds = []
    for _ in range(6):
        synchronize(device)
        start = time.perf_counter()
        torch.mm(factors[0], factors[1])
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def machine(device: torch.device) -> str:
    """Describe the hardware and versions of the measurement."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()} CPU"
    threads = f", {torch.get_num_threads()} of {os.cpu_count()} threads" if device.type == "cpu" else ""
    return f"{name}{threads}, torch {torch.__version__}, Python {platform.python_version()}"
