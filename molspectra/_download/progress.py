"""A progress bar for files that arrive."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def progress_bar(name: str, start: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """Show a bar if standard error is a terminal and tqdm is installed.

    Args:
        name: Label of the bar.
        start: Bytes of the file that an earlier run has fetched.
        total: Bytes of the whole file, if known.

    Yields:
        Function to call with the number of bytes that have arrived since the last call.
    """
    tqdm: Any = None
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            tqdm = importlib.import_module("tqdm").tqdm
    if tqdm is None:
        yield lambda count: None
    else:
        with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            yield bar.update
