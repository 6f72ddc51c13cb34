"""Loading batches, one process on one core: cut from a MoleculeStore, against the data sets of torch_geometric.

python -m benchmarks data writing
python -m benchmarks.data --molecules 3400000 [--directory /tmp] [--atoms 4096]

The first loads MiniSpectra's molecules, several copies of them, shuffled, as batches: `InMemoryDataset` and
`OnDiskDataset` (SQLite) through torch_geometric's DataLoader, a store the same way, and a store through torch's with
`Collate` and `ShardedBatchSampler`. Files are in the page cache. `InMemoryDataset` remembers each molecule that it has
cut out once, and is faster in later epochs than in the first, which it always is in workers that end with the epoch.
Rates are by the processor time of this process, so that others on the same machine count less.

The second writes so many synthetic molecules of 10 to 50 atoms with bonds, and reads all of them in batches by a budget
of atoms, shuffled. Memory is the most that was held beyond what was before: the process's own (anonymous), and pages
of files that it has mapped, which the system takes back whenever it needs memory.
"""

import argparse
import functools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch_geometric.loader
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data, InMemoryDataset, OnDiskDataset

import molspectra as ms
from benchmarks.timing import MIB, interleaved, machine

TITLE = "Loading batches of 128, molecules per second of processor time"
TITLE_WRITING = "Writing a store, molecules per second of processor time"
CPU = torch.device("cpu")
SPECTRA = ("uv_vis", "ir", "raman")
BASELINE = "InMemoryDataset"
CONTENTS: dict[str, Callable[[Data], Data]] = {
    "all of MiniSpectra": lambda data: data,
    "z, pos, 3 spectra": lambda data: _only(data, "z", "pos", *SPECTRA),
    "z, pos": lambda data: _only(data, "z", "pos"),
    "z, pos, topology": lambda data: ms.data.transforms.AddTopology()(
        _only(data, "z", "pos", "bond_index", "bond_order")
    ),
}
BLOCK = 1024  # molecules that are written at once


class InMemory(InMemoryDataset):
    def __init__(self, molecules: list[Data]) -> None:
        super().__init__()
        self.data, self.slices = self.collate(molecules)


class OnDisk(OnDiskDataset):
    def __init__(self, root: str, molecules: list[Data]) -> None:
        super().__init__(root, log=False)
        self.extend(molecules)


def make_passes(molecules: list[Data], batch_size: int, directory: Path) -> dict[str, Callable[[], None]]:
    """Map each way of loading to a pass through all molecules."""
    ms.data.write_store(directory / "store", molecules)
    store = ms.data.MoleculeStore(directory / "store")
    in_memory, first_time = InMemory(molecules), InMemory(molecules)
    of_geometric = functools.partial(torch_geometric.loader.DataLoader, batch_size=batch_size, shuffle=True)
    cut = functools.partial(DataLoader, store, collate_fn=ms.data.Collate())
    loaders = {
        BASELINE: of_geometric(in_memory),
        "InMemoryDataset, first": of_geometric(first_time),
        "OnDiskDataset": of_geometric(OnDisk(str(directory / "sqlite"), molecules)),
        "store, a Data each": of_geometric(store),
        "store, cut": cut(batch_sampler=ms.data.ShardedBatchSampler(len(store), batch_size)),
        "store, cut in order": cut(batch_sampler=ms.data.ShardedBatchSampler(len(store), batch_size, shuffle=False)),
    }

    def make_pass(loader: DataLoader) -> Callable[[], None]:
        def once() -> None:
            first_time._data_list = None
            assert sum(batch.num_graphs for batch in loader) == len(molecules)

        return once

    return {way: make_pass(loader) for way, loader in loaders.items()}


def measure(batch_size: int = 128, copies: int = 4, repeats: int = 5) -> list[dict[str, float | str]]:
    """Measure molecules per second for each content and way of loading, and their ratio to `InMemoryDataset`."""
    rows: list[dict[str, float | str]] = []
    torch.set_num_threads(1)
    for content, prepare in CONTENTS.items():
        molecules = [prepare(data) for data in ms.data.MiniSpectra("all")] * copies
        with tempfile.TemporaryDirectory() as directory:
            seconds = interleaved(make_passes(molecules, batch_size, Path(directory)), repeats, CPU, time.process_time)
        rows += [
            {
                "content": content,
                "way": way,
                "molecules / s": len(molecules) / seconds[way],
                "× InMemoryDataset": seconds[BASELINE] / seconds[way],
            }
            for way in seconds
        ]
    return rows


def measure_writing(number: int = 4096, repeats: int = 3) -> list[dict[str, float | str]]:
    """Measure molecules per second of `write_store`, one by one and as batches."""
    rows: list[dict[str, float | str]] = []
    torch.set_num_threads(1)
    for content, prepare in CONTENTS.items():
        known = [prepare(data) for data in ms.data.MiniSpectra("all")]
        molecules = (known * (number // len(known) + 1))[:number]
        batches = [Batch.from_data_list(molecules[start : start + BLOCK]) for start in range(0, number, BLOCK)]
        with tempfile.TemporaryDirectory() as directory:
            steps = {
                "one by one": lambda: ms.data.write_store(f"{directory}/a", molecules),  # noqa: B023
                "batches": lambda: ms.data.write_store(f"{directory}/b", batches),  # noqa: B023
            }
            seconds = interleaved(steps, repeats, CPU, time.process_time)
        rows += [{"content": content, "way": way, "molecules / s": number / seconds[way]} for way in seconds]
    return rows


def measure_scale(
    num_molecules: int, max_atoms: int = 4096, directory: str | None = None
) -> list[dict[str, float | str]]:
    """Write and read synthetic molecules: molecules per second, MiB of memory and of files."""
    rows: list[dict[str, float | str]] = []
    memory = Memory()

    def step(name: str, do: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        with memory:
            done = do()
        rows.append({"step": name, "seconds": time.perf_counter() - start, **memory.peak})
        return done

    with tempfile.TemporaryDirectory(dir=directory) as folder:
        step("write", lambda: ms.data.write_store(f"{folder}/store", synthetic(num_molecules)))
        store = ms.data.MoleculeStore(f"{folder}/store")
        loader = step("plan", lambda: make_loader(store, max_atoms))
        assert step("read", lambda: sum(batch.num_graphs for batch in loader)) == num_molecules
        step("verify", store.verify)
        size = sum(path.stat().st_size for path in store.directory.iterdir()) / MIB
    return [{**row, "molecules / s": num_molecules / float(row["seconds"]), "store_mib": size} for row in rows]


def make_loader(store: ms.data.MoleculeStore, max_atoms: int) -> DataLoader:
    """Plan all batches of an epoch by a budget of atoms."""
    sampler = ms.data.AtomBudgetSampler(store.sizes, max_atoms)
    assert len(sampler) > 0
    return DataLoader(store, batch_sampler=sampler, collate_fn=ms.data.Collate())


def synthetic(number: int) -> Iterator[Batch]:
    """Yield batches of random molecules of 10 to 50 atoms, with a chain of bonds and a label."""
    block = []
    for size in torch.randint(10, 51, (BLOCK,)).tolist():
        atoms = torch.arange(size)
        bonds = torch.stack([atoms[:-1], atoms[1:]])
        z = torch.randint(1, 10, (size,))
        block.append(Data(z=z, pos=torch.zeros(size, 3), bond_index=bonds, bond_order=torch.ones(size - 1), y=z[:1]))
    for start in range(0, number, BLOCK):
        batch = Batch.from_data_list(block[: number - start]) if number - start < BLOCK or start == 0 else batch
        batch.pos = 5 * torch.randn_like(batch.pos)
        yield batch


class Memory:
    """Peak memory of this process inside a `with` block, beyond the memory at construction (Linux)."""

    def __init__(self) -> None:
        self._before = resident()

    def __enter__(self) -> "Memory":
        self.peak = dict.fromkeys(self._before, 0.0)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._done.wait(0.005)
            held = resident()
            self.peak = {name: max(self.peak[name], held[name] - self._before[name]) for name in held}
            if last:
                return


def resident() -> dict[str, float]:
    """Return MiB of anonymous memory and of mapped files of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "anonymous_mib": int(lines["RssAnon"].split()[0]) / 1024,
        "mapped_files_mib": int(lines["RssFile"].split()[0]) / 1024,
    }


def _only(data: Data, *fields: str) -> Data:
    return Data(**{name: data[name] for name in fields})


def main() -> None:
    parser = argparse.ArgumentParser(description="Write and read a store of synthetic molecules.")
    parser.add_argument("--molecules", type=int, default=3_400_000)
    parser.add_argument("--atoms", type=int, default=4096)
    parser.add_argument("--directory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine(CPU)}; {os.cpu_count()} cores; {arguments.molecules} synthetic molecules")
    rows = measure_scale(arguments.molecules, arguments.atoms, arguments.directory)
    print(f"a store of {rows[0]['store_mib']:.0f} MiB; batches of at most {arguments.atoms} atoms")
    print(f"{'':8}{'seconds':>10}{'molecules/s':>14}{'own MiB':>10}{'mapped MiB':>12}")
    for row in rows:
        numbers = row["seconds"], row["molecules / s"], row["anonymous_mib"], row["mapped_files_mib"]
        print("{:8}{:10.1f}{:14.0f}{:10.0f}{:12.0f}".format(row["step"], *numbers))


if __name__ == "__main__":
    main()
