"""Generator of the documentation page with all results: python -m benchmarks.page

docs/benchmarks.md is benchmarks/page.md with the tables of benchmarks/results in place of their {name}.
"""

import json
import re
import textwrap
from pathlib import Path

from benchmarks.results import RESULTS, Table

TEMPLATE = Path(__file__).with_name("page.md")
NOT_MEASURED = """\
Not measured yet: `python -m benchmarks` on a machine with a CUDA device fills this in.

| | |
|---|---|
| a training step of the transformer, against torchmd-net's | |
| SpecFormer under bfloat16: share of the products' peak | |
| a training step at batch 32, 128, 512 and 1024 | |
| the noise's share of a step | |
| peak memory at batch 128 and 1024 | |
"""
COLUMNS = 120
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def markdown(table: Table) -> str:
    """Format a table with its title, command, hardware and versions."""
    found = table.environment
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    on = f"{found['device']}, {found['threads']} of {found['cores']} threads, Python {found['python']}, {versions}"
    columns = list(dict.fromkeys(column for row in table.rows for column in row))
    caption = f"**{table.title}.** `{table.command}`, {found['date']}, {on}."
    lines = [
        *textwrap.wrap(caption, COLUMNS, break_on_hyphens=False),
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---:" if is_number(table, column) else "---" for column in columns) + "|",
        *("| " + " | ".join(text(row.get(column)) for column in columns) + " |" for row in table.rows),
    ]
    return "\n".join(lines) + "\n"


def is_number(table: Table, column: str) -> bool:
    return all(isinstance(row.get(column, 0), (int, float)) for row in table.rows)


def text(value: str | float | int | None) -> str:
    """Format a cell: three digits of a number, empty if not measured."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def page() -> str:
    """Return the text of the page."""
    text = TEMPLATE.read_text()
    on_cpu, on_cuda = (_tables(device) for device in ("cpu", "cuda"))
    for name, table in on_cpu.items():
        text = text.replace(f"{{{name}@cpu}}\n", table)
    text = re.sub(r"\{(\w+)@cpu\}", r"Not measured yet: `python -m benchmarks \1`.", text)
    return text.replace("{cuda}\n", "\n".join(on_cuda.values()) or NOT_MEASURED)


def _tables(device: str) -> dict[str, str]:
    file = RESULTS / f"{device}.json"
    return (
        {name: markdown(Table(**table)) for name, table in json.loads(file.read_text()).items()}
        if file.exists()
        else {}
    )


if __name__ == "__main__":
    PAGE.write_text(page())
