"""The English of docstrings and pages, as far as a program can check it.

See "Plain English" in CONTRIBUTING.md. Every offence is listed with its file and line.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

FIRST_WORDS = re.compile(r"(What|Whether|Of|Those|How)\b")
RATIO = re.compile(r"\b1 (/ \d+(\.\d+)?|/\d+\.\d+)\b")
COLUMNS = 120
SEMICOLONS = 2.0  # per 1000 words of docstrings


class Line(NamedTuple):
    """A line of prose and its place. Code, headings and headers of tables are no prose."""

    path: Path
    number: int
    text: str

    def offence(self, message: str) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.number}: {message}: {self.text.strip()[:80]}"


def test_no_sentence_begins_with_a_question_word() -> None:
    report(
        line.offence(f"begins with {word[0]}")
        for line, sentence in sentences([*docstrings(), *pages()])
        if (word := FIRST_WORDS.match(sentence)) and not sentence.rstrip("*_ ").endswith("?")
    )


def test_ratios_are_written_as_factors() -> None:
    report(
        line.offence(f'"{ratio[0]} …" (write 2.1× faster, 9× less memory)')
        for line in [*docstrings(), *pages()]
        if (ratio := RATIO.search(line.text))
    )


def test_lines_of_pages_are_short() -> None:
    report(
        line.offence(f"{len(line.text)} columns")
        for line in pages()
        # Rows of tables and links cannot be broken.
        if len(line.text) > COLUMNS and not line.text.startswith("|") and " " in line.text[:COLUMNS].strip("-*[ ")
    )


def test_semicolons_are_rare() -> None:
    lines = list(docstrings())
    found = [line for line in lines if ";" in line.text]
    words = sum(len(line.text.split()) for line in lines)
    if 1000 * len(found) > SEMICOLONS * words:
        report(line.offence(f"{1000 * len(found) / words:.1f} semicolons per 1000 words") for line in found)


def report(offences: Iterator[str]) -> None:
    """Fail with all offences."""
    listed = list(offences)
    assert not listed, "\n" + "\n".join(listed)


def page_files() -> list[Path]:
    """Return the pages in Markdown that people read."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if page.exists() and "_build" not in page.parts]


def pages() -> Iterator[Line]:
    """Yield the prose of all pages."""
    for path in page_files():
        lines = path.read_text().splitlines()
        fenced = False
        for number, text in enumerate(lines, 1):
            fence = text.lstrip().startswith(("```", "~~~", "$$"))
            fenced ^= fence and not re.match(r"\s*\$\$.*\$\$", text)
            header = number < len(lines) and re.match(r"\|[ :|-]+\|$", lines[number])
            if not (fenced or fence or header or text.startswith(("#", ":::"))):
                yield Line(path, number, text)


def docstrings() -> Iterator[Line]:
    """Yield the prose of all docstrings of the package, also of strings that document an attribute."""
    for path in sorted((ROOT / "molspectra").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                for offset, text in enumerate(prose(node.value.value)):
                    yield Line(path, node.lineno + offset, text)


def prose(docstring: str) -> list[str]:
    """Return the lines of a docstring, with empty ones in place of examples, equations and blocks of code."""
    lines, block = [], None
    for text in docstring.splitlines():
        indent = len(text) - len(text.lstrip())
        if block is not None and text.strip() and indent <= block:
            block = None
        example = text.lstrip().startswith((">>>", "...", "|")) or block is not None
        lines.append("" if example else re.sub(r"``.*?``|`[^`]*`|\$.*?\$", "x", text))
        if text.rstrip().endswith("::") or text.lstrip().startswith(".. "):
            block = indent
    return lines


def sentences(lines: list[Line]) -> Iterator[tuple[Line, str]]:
    """Yield every sentence with the line it begins on."""
    previous = Line(ROOT, 0, "")
    for line in lines:
        text = line.text.strip()
        # A line goes on with the sentence of the line above, unless that has ended, is empty or is of another text.
        # Items of lists and cells of tables are sentences of their own, and so are descriptions of arguments.
        goes_on = (
            (line.path, line.number - 1) == previous[:2]
            and previous.text.strip()
            and not re.search(r"[.!?:|][*_)\"]*$", previous.text.strip())
            and not re.match(r"([-*+>|]|\d+\.) ?", text)
        )
        parts = re.split(r"(?<=[.!?])[*_)\"]* +|\| *|^[-*+>] +|^\d+\. +|^\*?\w+( \([^)]*\))?: +", text)
        for index, part in enumerate(part for part in parts if part is not None):
            if part and not (index == 0 and goes_on):
                yield line, part.lstrip("*_(\"'")
        previous = line
