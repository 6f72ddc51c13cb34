"""A lock between processes."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch the same file there are not kept apart
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock. The system frees it when its holder ends, in whichever way.

    Args:
        path: The file to lock. It is removed when the lock is released.
    """
    if fcntl is None:
        yield
        return
    while True:
        file = path.open("a")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        # The holder removes the file. A process that waited then holds a lock on a file whose name is gone: try again.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
