"""Stores far larger than what a process may hold, in a small way: what is held does not grow with the store."""

import subprocess
import sys

import pytest

# Run in a process of its own, since memory that tests before it have freed would hide growth.
SCRIPT = """
import sys
from benchmarks.data import Memory, make_loader, synthetic
import molspectra as ms

number, directory, way = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ms.data.write_store(f"{directory}/few", synthetic(64))  # what is loaded once
with Memory() as writing:
    ms.data.write_store(f"{directory}/store", synthetic(number))
store = ms.data.MoleculeStore(f"{directory}/store")
with Memory() as reading:
    held, seen = [], 0
    for batch in make_loader(store, 4096):
        seen += batch.num_graphs
        if way == "hold":
            held.append(batch)
assert seen == len(store) == number
size = sum(path.stat().st_size for path in store.directory.iterdir()) / 2**20
print(writing.peak["anonymous_mib"], reading.peak["anonymous_mib"], size)
"""


def megabytes(number, directory, way="stream"):
    """Of memory that writing and reading a store take, and of the store."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(number), str(directory), way], check=True, capture_output=True, text=True
    )
    return map(float, done.stdout.split())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_store(tmp_path):
    writing, reading, size = megabytes(200_000, tmp_path)
    assert size > 200
    assert writing < 40
    assert reading < 40


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_held_would_be_seen(tmp_path):
    _, reading, size = megabytes(100_000, tmp_path, "hold")
    assert size > 100
    assert reading > 0.8 * size
