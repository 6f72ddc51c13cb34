"""Mutation score: the share of small faults in the scientific core that its tests find.

Run by `make mutation`. Every fault is tried in a process forked from one that has imported the libraries. The process
reads the faulty text in place of the file, which stays as it is on disk, and runs the tests of the same folder. Results
are kept in .mutation/, so that a run that was interrupted goes on where it stopped.
"""

import argparse
import difflib
import importlib
import importlib.machinery
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import pytest

from tools.mutants import Mutant, sample

PACKAGES = ("noise", "objectives", "geometry")
RESULTS = Path(".mutation/results.jsonl")
PATIENCE = 10  # times as long as the processor time allowed, on a machine with much else to do
MEMORY = 16 * 2**30  # bytes of addresses, for a fault that asks for too many elements
# Imported once, before processes are forked: libraries that take long to import.
LIBRARIES = (
    *("torch", "torch_geometric.data", "torch_geometric.loader", "torch_geometric.nn", "e3nn.o3", "safetensors.torch"),
    *("scipy.optimize", "scipy.spatial.transform", "rdkit.Chem.AllChem", "hypothesis.strategies", "jaxtyping"),
)


def main() -> int:
    """Try the faults of the sample that have not been tried, and print the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=300, help="number of faults (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time, to go on later")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once (default: one per core)")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, choices=PACKAGES)
    options = parser.parse_args()

    paths = [path for package in options.packages for path in sorted(Path("molspectra", package).rglob("*.py"))]
    mutants = sample(paths, options.size, options.seed)
    RESULTS.parent.mkdir(exist_ok=True)
    known = _read_results()
    for library in LIBRARIES:
        importlib.import_module(library)
    _run([mutant for mutant in mutants if mutant.key not in known], options.jobs, 60 * options.minutes)
    _report(mutants, _read_results())
    return 0


def tests_of(path: str) -> list[str]:
    """Return the tests that a fault in `path` is tried with: its own, the others of its folder, and its examples."""
    _, package, *rest = Path(path).parts
    folder = Path("tests", package)
    first = folder.joinpath(*rest[:-1], f"test_{rest[-1]}")
    others = [test for test in sorted(folder.rglob("test_*.py")) if test != first]
    return [str(test) for test in ([first] if first.exists() else []) + others] + [path]


def _run(mutants: list[Mutant], jobs: int, seconds: float) -> None:
    """Try faults, several at once, until they are done or the time is over."""
    end = time.monotonic() + seconds
    limits = {package: _time_limit(package) for package in sorted({Path(mutant.path).parts[1] for mutant in mutants})}
    waiting, running = list(reversed(mutants)), dict[int, tuple[Mutant, float]]()
    while running or (waiting and time.monotonic() < end):
        while waiting and len(running) < jobs and time.monotonic() < end:
            mutant = waiting.pop()
            limit = limits[Path(mutant.path).parts[1]]
            running[_fork(mutant.path, mutant.source(), limit)] = mutant, time.monotonic() + PATIENCE * limit
        time.sleep(0.05)
        for pid, (mutant, deadline) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            late = not done and time.monotonic() > deadline
            if late:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            if done or late:
                del running[pid]
                timeout = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL))
                outcome = "timeout" if timeout else "survived" if status == 0 else "killed"
                with RESULTS.open("a") as file:
                    file.write(json.dumps({"key": mutant.key, "outcome": outcome}) + "\n")
                print(f"{outcome:8} {mutant.path}:{mutant.line} {mutant.operator}", flush=True)


def _time_limit(package: str) -> int:
    """Return the seconds of processor time that tests may take: a multiple of the time they take without a fault."""
    path = next(iter(sorted(Path("molspectra", package).glob("[!_]*.py"))))
    _, status, usage = os.wait4(_fork(str(path)), 0)
    if status != 0:
        sys.exit(f"The tests of {package} fail without a fault: run python -m pytest {' '.join(tests_of(str(path)))}")
    return 10 + round(3 * (usage.ru_utime + usage.ru_stime))


def _fork(path: str, source: str | None = None, seconds: int = resource.RLIM_INFINITY) -> int:
    """Run the tests of a file in a process of their own, which reads `source`, if given, in place of the file."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        log = os.open(os.devnull, os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.gettempdir()
        if source is not None:
            _replace(path, source)
        # Plugins of pytest are among the libraries imported already.
        options = ["-x", "-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
        options += ["-m", "not slow and not compile"]
        status = int(pytest.main([*options, *tests_of(path)]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _replace(path: str, source: str) -> None:
    """Let Python read `source` where it would read a file, and no compiled form of it."""
    target, loader = os.path.abspath(path), importlib.machinery.SourceFileLoader
    get_data, path_stats = loader.get_data, loader.path_stats
    sys.dont_write_bytecode = True
    loader.get_data = lambda self, name: source.encode() if os.path.abspath(name) == target else get_data(self, name)  # type: ignore[method-assign]
    # Compiled files are taken for outdated where the time of the source is another one.
    loader.path_stats = lambda self, name: (
        {"mtime": 0, "size": 0} if os.path.abspath(name) == target else path_stats(self, name)
    )  # type: ignore[method-assign]


def _read_results() -> dict[str, str]:
    """Return the outcome of every fault tried so far."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {result["key"]: result["outcome"] for result in map(json.loads, lines)}


def _report(mutants: list[Mutant], results: dict[str, str]) -> None:
    """Print the score of each package and of all, and write the faults that no test has found to .mutation/."""
    counts: dict[str, Counter[str]] = {}
    survivors = []
    for mutant in mutants:
        if outcome := results.get(mutant.key):
            for name in (Path(mutant.path).parts[1], "all"):
                counts.setdefault(name, Counter())[outcome] += 1
            if outcome == "survived":
                before, after = Path(mutant.path).read_text(), mutant.source()
                survivors += difflib.unified_diff(
                    before.splitlines(), after.splitlines(), mutant.path, lineterm="", n=1
                )
    RESULTS.with_name("survivors.diff").write_text("\n".join(survivors) + "\n")
    print(f"\n{'':12}{'faults':>8}{'found':>8}{'score':>8}")
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        total, found = counts[name].total(), counts[name].total() - counts[name]["survived"]
        print(f"{name:12}{total:8}{found:8}{found / total:8.1%}")
    left = len(mutants) - sum(mutant.key in results for mutant in mutants)
    print(f"{left} of {len(mutants)} faults are left to try; survivors are in .mutation/survivors.diff")


if __name__ == "__main__":
    sys.exit(main())
