"""Searching a library of a million embeddings: seconds and memory, against one plain topk(queries @ library.T).

python -m benchmarks.retrieval [--rows 1000000] [--channels 256] [--queries 100 1] [--dtype float32] [--repeats 5]

Both find the inner products of the same vectors, of length 1 (the index by dividing by their lengths). Memory is what
the search needs beyond the library: for the plain one mostly all rows × queries scores, for the index a block of them.
In half precision the plain one rounds its scores as well, and so finds other rows; the index has them in float32.
A last line searches the library from the file that it was saved to, mapped rather than read.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import molspectra.retrieval as retrieval
from benchmarks.timing import DEVICE, MIB, in_a_process_of_its_own, interleaved, machine, peak_memory

K = 10
WAYS = ("index", "plain")


def make_library(rows: int, channels: int, dtype: torch.dtype) -> Tensor:
    """Return random unit vectors, (M, F), normalised in place."""
    torch.manual_seed(0)
    library = torch.randn(rows, channels, device=DEVICE, dtype=dtype)
    for block in library.split(16_384):
        block /= block.float().norm(dim=1, keepdim=True).to(dtype)
    return library


def make_searches(library: Tensor, index: retrieval.Index, queries: int) -> dict[str, Callable[[], retrieval.Matches]]:
    asked = torch.nn.functional.normalize(torch.randn(queries, library.shape[1], device=DEVICE), dim=1)

    def plain() -> retrieval.Matches:
        return retrieval.Matches(*(asked.to(library.dtype) @ library.T).float().topk(K, dim=1))

    return {"index": lambda: index.search(asked, K), "plain": plain}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--queries", type=int, nargs="+", default=(100, 1))
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    library = make_library(arguments.rows, arguments.channels, getattr(torch, arguments.dtype))
    index = retrieval.Index(library)
    if arguments.memory_of:
        search = make_searches(library, index, arguments.queries[0])[arguments.memory_of]
        if DEVICE.type == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the library (Linux)
        print(peak_memory(search, DEVICE))
        return

    size = library.numel() * library.element_size() / MIB
    print(f"{machine(DEVICE)}; medians of {arguments.repeats} interleaved runs")
    print(f"{arguments.rows} × {arguments.channels} embeddings in {arguments.dtype}, {size:.0f} MiB; the best {K}")
    print(f"{'queries':>8}{'':8}{'seconds':>10}{'MiB':>8}{'same rows':>12}")
    for queries in arguments.queries:
        searches = make_searches(library, index, queries)
        same = (searches["index"]().indices == searches["plain"]().indices).float().mean().item()
        seconds = interleaved(searches, arguments.repeats, DEVICE)
        options = [f"--{name}={getattr(arguments, name)}" for name in ("rows", "channels", "dtype")]
        for way in WAYS:
            process = ("--memory-of", way, "--queries", str(queries), *options)
            memory = in_a_process_of_its_own("benchmarks.retrieval", *process) / MIB
            print(f"{queries:8}  {way:6}{seconds[way]:10.3f}{memory:8.0f}{same:12.4f}")
    with tempfile.TemporaryDirectory() as directory:
        index.save(directory)
        mapped = retrieval.Index.load(directory, DEVICE)
        for queries in arguments.queries:
            searches = make_searches(library, mapped, queries)
            seconds = interleaved({"mapped": searches["index"]}, arguments.repeats, DEVICE)
            print(f"{queries:8}  {'mapped':6}{seconds['mapped']:10.3f}")


if __name__ == "__main__":
    main()
