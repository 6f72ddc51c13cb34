"""Data lines of JCAMP-DX's (X++(Y..Y)): a position, then values in one of the forms that squeeze digits.

R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 42, 151 (1988), section 5: the first digit of a number, with its sign,
is written as a letter, which also separates it from the number before. AFFN: plain numbers. PAC: signs separate. SQZ:
"@" and "A" to "I" are 0 to 9, "a" to "i" -1 to -9. DIF: "%", "J" to "R", "j" to "r", likewise, for the difference from
the value before. DUP: "S" to "Z", "s", 1 to 9, count how often the value before occurs, itself included.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from molspectra.data.io.text import are_decimal_commas

_SQUEEZED = {"@": "0"} | {letter: str(digit) for digit, letter in enumerate("ABCDEFGHI", start=1)}
_SQUEEZED |= {letter: f"-{digit}" for digit, letter in enumerate("abcdefghi", start=1)}
_DIFFERENCE = {"%": "0"} | {letter: str(digit) for digit, letter in enumerate("JKLMNOPQR", start=1)}
_DIFFERENCE |= {letter: f"-{digit}" for digit, letter in enumerate("jklmnopqr", start=1)}
_DUPLICATE = {letter: str(digit) for digit, letter in enumerate("STUVWXYZs", start=1)}

_MOST_REPEATS = 10_000_000  # far more points than a spectrum has; a damaged count could fill the memory

_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# Letters may be digits here, so that an exponent needs a sign to be told from one.
_POSITION = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]\d+)?")
_TOKEN = re.compile(r"([@A-Ia-i%J-Rj-rS-Zs])(\d*)|([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]\d+)?)|([\s,]+)")


# "1000,5A0J1": a position with a decimal comma.
_SQUEEZED_AFTER_COMMA = re.compile(r"\s*[+-]?\d+,\d+(?:[@A-Ia-i%J-Rj-r]|[+-]\d)")


class Ordinates(NamedTuple):
    """Position of a line, as written, its values, and a flag for a last value that was written as a difference."""

    position: str
    values: list[float]
    ends_in_difference: bool


def is_affn(cells: Sequence[str]) -> bool:
    """Check that these are all plain numbers."""
    return all(_FLOAT.fullmatch(cell) for cell in cells)


def has_decimal_commas(text: str) -> bool:
    """Check that the numbers of a line can only be meant with decimal commas, or its position can."""
    return are_decimal_commas(text) or _SQUEEZED_AFTER_COMMA.match(text) is not None


def parse_line(text: str) -> Ordinates:
    """Read one line.

    Raises:
        ValueError: the line has no position, no value, decimal commas, a character foreign to the format, or a missing
            value ("?").

    Example:
        >>> parse_line("10A2TJk5")  # 12, twice; 1 more; 25 less
        Ordinates(position='10', values=[12.0, 12.0, 13.0, -12.0], ends_in_difference=True)
    """
    cells = text.split()
    if len(cells) > 1 and is_affn(cells):  # E is an exponent between blanks, and a digit in a squeezed line
        return Ordinates(cells[0], [float(cell) for cell in cells[1:]], False)
    if has_decimal_commas(text):
        raise ValueError(
            f"numbers must have decimal points; got decimal commas in {text!r}. Export the file with decimal points."
        )
    text = text.strip()
    position = _POSITION.match(text)
    if position is None:
        raise ValueError(f"expected a position at the beginning of the line; got {text!r}. Repair the line.")
    values, differs = _values(text, position.end())
    if not values:
        raise ValueError(f"expected values after the position; got {text!r}. The line is cut off.")
    return Ordinates(position.group(), values, differs)


def _values(text: str, start: int) -> tuple[list[float], bool]:
    """Parse the values from a place in the line on, and tell if the last one is a difference."""
    values: list[float] = []
    difference: float | None = None  # from the value before, if the last value was written as one
    at = start
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            hint = "a value is missing" if text[at] == "?" else "it is no digit of JCAMP-DX"
            raise ValueError(f"got {text[at]!r} at place {at + 1} of {text!r}: {hint}. Repair the line.")
        letter, digits, plain, _ = token.groups()
        if plain:
            values.append(float(plain))
            difference = None
        elif letter in _SQUEEZED:
            values.append(float(_SQUEEZED[letter] + digits))
            difference = None
        elif letter is not None:
            if not values:
                raise ValueError(f"got {token.group()!r} ahead of any value in {text!r}. Repair the line.")
            if letter in _DIFFERENCE:
                difference = float(_DIFFERENCE[letter] + digits)
                count = 1
            else:
                count = int(_DUPLICATE[letter] + digits) - 1
                if count > _MOST_REPEATS:
                    raise ValueError(f"got {token.group()!r}, {count + 1} equal values, in {text!r}. Repair the line.")
            for _repeat in range(count):
                values.append(values[-1] + (difference or 0.0))
        at = token.end()
    return values, difference is not None
