"""The tables of the model zoo, in Markdown, from what `molspectra.pretrained` knows about its checkpoints.

The documentation writes them to docs/_build/zoo.txt, which docs/zoo.md includes.
"""

import re
from pathlib import Path

import molspectra as ms

WEIGHTS = Path(ms.pretrained.__file__).with_name("weights")
ORDER = ("shipped", "fetched", "by hand", "not importable", "not published")


def tables() -> str:
    """Return a table of all known checkpoints, and the card of each that is shipped with one."""
    known = [ms.pretrained.checkpoint_info(name) for name in ms.pretrained.list_checkpoints()]
    known.sort(key=lambda facts: ORDER.index(facts.status) if facts.status in ORDER else -1)
    rows = ["| name | method | trained on | license | size | how | remarks |", "|---|---|---|---|---|---|---|"]
    for facts in known:
        license = facts.license.partition(":")[0]
        how = f"[{facts.status}]({facts.source})" if facts.source.startswith("http") else facts.status
        cells = (f"`{facts.name}`", facts.method, facts.trained_on, license, size(facts.size), how, facts.note)
        rows.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
    cards = [card(name, path) for name, path in shipped().items()]
    return "\n".join([*rows, "", *cards])


def shipped(folder: Path = WEIGHTS) -> dict[str, Path]:
    """Return the card of each checkpoint in the package."""
    return {path.parent.name: path for path in sorted(folder.glob("*/README.md"))}


def card(name: str, path: Path) -> str:
    """Return a card of the Hub as a section: without its front matter, with headings one level lower."""
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"^(#+ )", r"#\1", part, flags=re.MULTILINE) for part in parts[::2]]
    lowered = re.sub(r"\A\s*## .*\n", "", "".join(parts))  # the title, which the name replaces
    return f"## `{name}`\n\n{lowered.strip()}\n"


def size(number: int | None) -> str:
    """Return a number of bytes in MB, or nothing if it is unknown."""
    return "" if number is None else f"{number / 1e6:.1f} MB"
