"""Sizes of files, and lines that two encoders repeat."""

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "molspectra"
LONGEST_FILE = 350
MEDIAN_FILE = 120
REPEATED_LINES = 12


def source_files() -> dict[str, int]:
    """Return the number of lines of every file of the package."""
    return {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_no_file_is_long():
    assert {name: lines for name, lines in source_files().items() if lines > LONGEST_FILE} == {}


def test_files_are_short_by_their_median():
    # Files that only export names say nothing about the size of a concept.
    assert statistics.median(lines for name, lines in source_files().items() if "__init__" not in name) <= MEDIAN_FILE


def test_encoders_do_not_repeat_each_other():
    folders = sorted(path for path in (PACKAGE / "encoders").iterdir() if (path / "__init__.py").exists())
    assert len(folders) >= 5
    code = {folder.name: [text_lines(path.read_text("utf-8")) for path in folder.rglob("*.py")] for folder in folders}
    repeated = [
        f"{first} and {second}:\n" + "\n".join(run)
        for first, second in itertools.combinations(code, 2)
        for run in repeated_runs(code[first], code[second])
    ]
    assert not repeated, "\n\n".join(repeated)


def text_lines(source: str) -> list[str]:
    """Return the lines that are not blank, docstrings and comments among them, without their indentation."""
    return [line.strip() for line in source.splitlines() if line.strip()]


def repeated_runs(first: list[list[str]], second: list[list[str]]) -> Iterator[list[str]]:
    """Yield the first run of equal lines, long enough to be reported, of each pair of files."""
    for one, other in itertools.product(first, second):
        windows = {tuple(window) for window in runs(other)}
        yield from itertools.islice((window for window in runs(one) if tuple(window) in windows), 1)


def runs(lines: list[str]) -> Iterator[list[str]]:
    """Yield all runs of lines of the length that is reported."""
    return (lines[start : start + REPEATED_LINES] for start in range(len(lines) - REPEATED_LINES + 1))


@pytest.mark.parametrize(("repeated", "found"), [(REPEATED_LINES, True), (REPEATED_LINES - 1, False)])
def test_repeated_lines_are_found(repeated, found):
    same = [f"x = {number}" for number in range(repeated)]
    one = "import a\n\n" + "\n\n".join(same) + "\ny = 1"
    other = "def f():\n    z = 1\n" + "".join(f"    {line}\n" for line in same)
    assert bool([*repeated_runs([text_lines(one)], [text_lines(other)])]) == found
