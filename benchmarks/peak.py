"""The peak memory of a step, in a process of its own."""

import importlib
import json
import sys
from collections.abc import Callable

from benchmarks.timing import DEVICE, in_a_process_of_its_own, peak_memory


def peak_memory_of(make_step: Callable[..., Callable[[], None]], *arguments: str | int | bool) -> float:
    """Print the bytes that the step `make_step(*arguments)` needs beyond the memory before it."""
    return in_a_process_of_its_own("benchmarks.peak", make_step.__module__, make_step.__name__, json.dumps(arguments))


if __name__ == "__main__":
    module, function, arguments = sys.argv[1:]
    print(peak_memory(getattr(importlib.import_module(module), function)(*json.loads(arguments)), DEVICE))
