"""Text files of users, in whatever encoding and with whatever line ends."""

import codecs
import re
from pathlib import Path
from typing import IO

# Python's float also takes digits of other scripts, and 1_000.
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf(inity)?)", re.ASCII | re.IGNORECASE)

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_EITHER_DECIMAL = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")


def to_float(text: str) -> float:
    """Convert a number of a text file, whose exponent Mathematica (1.5*^-6) or Fortran (1.5D-06) may have written.

    NaN and infinity are numbers here.

    Raises:
        ValueError: it is not a number.
    """
    plain = re.sub(r"\*\^|d", "e", text.strip(), count=1, flags=re.IGNORECASE)
    if not _NUMBER.fullmatch(plain):
        raise ValueError(f"could not convert {text.strip()!r} to a number")
    return float(plain)


def is_decimal(cell: str) -> bool:
    """Return True for a number, with a decimal point or a decimal comma."""
    return _EITHER_DECIMAL.fullmatch(cell) is not None


def are_decimal_commas(text: str) -> bool:
    """Return True for several numbers, separated by blanks or semicolons, of which one has a decimal comma."""
    cells = [cell for cell in re.split(r"[;\s]+", text) if cell]
    return len(cells) > 1 and any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells) and all(map(is_decimal, cells))


def to_int(text: str) -> int:
    """Convert a whole number of a text file.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"\s*[+-]?\d+\s*", text, re.ASCII):
        raise ValueError(f"could not convert {text.strip()!r} to a whole number")
    return int(text)


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file in UTF-8, in UTF-16 with its mark or, failing both, in Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, binary, or text in UTF-16 without a mark.
    """
    refuse_folder(Path(path))
    content = Path(path).read_bytes()
    try:
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise ValueError(
            f"{path} must be a text file in UTF-8, Latin-1, or UTF-16 with its mark; it has zero bytes. Save it as "
            "plain text."
        )
    # str.splitlines also breaks at control characters that are letters in old encodings.
    return re.split(r"\r\n|\r|\n", text)


def refuse_folder(path: Path) -> None:
    """Refuse a folder in the place of a file.

    Raises:
        ValueError: it is one.
    """
    if path.is_dir():
        raise ValueError(f"{path} must be a file; it is a folder. Read each of its files: sorted(path.iterdir()).")


def open_text(path: Path) -> IO[str]:
    """Open a file of molecules, in UTF-8 or in UTF-16 with its mark.

    Names and comments in another encoding lose letters, and nothing else.
    """
    with path.open("rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return path.open(encoding="utf-16" if is_utf16 else "utf-8-sig", errors="replace")
