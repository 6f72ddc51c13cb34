"""The tables of docs/evidence.md hold the numbers of recipes/results."""

import json
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "evidence.md").read_text()


def results(name):
    return json.loads((ROOT / "recipes" / "results" / f"{name}.json").read_text())


def cells(row):
    """Return the cells of the row of a table that begins with a text."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip().replace("*", "") for cell in line.split("|")[2:-1]]


def assert_states(cell, values):
    """Check mean ± standard deviation, to the digits that are printed."""
    for text, number in zip(cell.split(" ± "), (statistics.mean(values), statistics.stdev(values)), strict=True):
        digits = len(text.partition(".")[2])
        assert abs(float(text) - number) <= 0.501 * 10**-digits, (cell, number)


@pytest.mark.parametrize(
    ("row", "target"),
    [
        ("gap, meV", "gap"),
        ("HOMO, meV", "homo"),
        ("LUMO, meV", "lumo"),
        ("μ, D", "mu"),
        ("α, a0³", "alpha"),
        ("R², a0²", "r2"),
        ("ZPVE, meV", "zpve"),
        ("Cv, cal/mol/K", "cv"),
        ("U0, eV", "u0"),
    ],
)
def test_frozen_features(row, target):
    section = PAGE.partition("## Fine-tuning")[0]
    (line,) = (line for line in section.splitlines() if line.startswith(f"| {row} |"))
    found = results("probe")
    for cell, values in zip(line.split("|")[2:-1], found.values(), strict=True):
        assert_states(cell.strip(), values[target])


@pytest.mark.parametrize(("row", "name"), [("gap, meV", "finetune_gap"), ("α, a0³", "finetune_alpha")])
def test_finetuning(row, name):
    section = PAGE.partition("## Fine-tuning")[2]
    (line,) = (line for line in section.splitlines() if line.startswith(f"| {row} |"))
    values = list(results(name).values())
    for place, cell in enumerate(line.split("|")[2:-1]):
        assert_states(cell.strip().replace("*", ""), values[3 * place : 3 * place + 3])


def test_forces():
    values = list(results("finetune_md17").values())
    for kind, row in enumerate(("energy, kcal/mol", "forces, kcal/mol/Å")):
        for place, cell in enumerate(cells(row)):
            assert_states(cell, [value[kind] for value in values[2 * place : 2 * place + 2]])


def test_retrieval():
    found = results("retrieval")
    rows = [line for line in PAGE.splitlines() if re.search(r"\| (IR|Raman|IR \+ Raman) \|", line)]
    assert len(rows) == 9
    printed = {text for row in rows for text in re.findall(r"\d\.\d{3} \[.*?\]", row)}
    for name, hits in found.items():
        for k in ("hit@1", "hit@5") if name.endswith(", all") else ("hit@1",):
            value, low, high = hits[k]
            assert f"{value:.3f} [{low:.3f}, {high:.3f}]" in printed
