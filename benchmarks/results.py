"""Results of a benchmark: rows, hardware and versions."""

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torch-geometric", "e3nn", "numpy", "torchmd-net", "triton")


class Table(NamedTuple):
    """Rows of one benchmark."""

    title: str
    command: str
    environment: dict[str, Any]
    rows: list[dict[str, Any]]


def environment(device: torch.device) -> dict[str, Any]:
    """Return hardware, versions and date."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    """Return the name of the processor, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
