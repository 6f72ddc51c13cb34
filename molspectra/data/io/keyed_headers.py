"""Lines of text tables that name a column by a key, as "XUNITS<tab>1/CM", instead of standing above it."""

import re
from collections.abc import Sequence

from molspectra.data.io.text_table import TableFormat

# "X Unit;1/cm", "XAxis mode: Wavelengths", "x: wavelength (nm)". A comma or a tab alone would be a header of columns.
_XY = re.compile(
    r'\s*"?([xy])(?:[ _-]*(?:units?|axis|label)(?:[ _-]*(?:units?|label|title|mode))?"?\s*[:=\t,;]|"?\s*[:=])\s*(.+)',
    re.I,
)
_AXIS = re.compile(r"\s*AxisUnit\[([01])\]\s*=\s*(.+)", re.I)  # of Horiba, 0 for intensities
_COLUMN = re.compile(r"\s*col(?:umn|\.)?[ _]?(\d+)\s*[:=]\s*(.+)", re.I)
_COUNT = re.compile(r"\s*(?:npoints|number of (?:data )?(?:points|pixels)[^:=\t,;]*)\s*[:=\t,;]\s*(\d+)[\s,;]*", re.I)


def stated_count(lines: Sequence[str]) -> int | None:
    """Return the number of points that a header states, or None."""
    return next((int(match[1]) for line in lines if (match := _COUNT.fullmatch(line))), None)


def keyed_headers(lines: Sequence[str], form: TableFormat) -> dict[str, str]:
    """Find what the lines of a file say about its columns.

    Returns:
        "x" and "y" → text, of those that are named.
    """
    found: dict[str, str] = {}
    columns: dict[int, str] = {}
    for number, line in enumerate(lines):
        if match := _XY.match(line):
            found[match[1].lower()] = match[2]
        elif match := _AXIS.match(line):
            found["yx"[int(match[1])]] = match[2]
        elif match := _COLUMN.match(line):
            columns[int(match[1])] = match[2]
        elif line.strip() == "GR" and len(lines) > number + 2:  # of PerkinElmer: the two units follow
            found["x"], found["y"] = lines[number + 1 : number + 3]
    for key, place in (("x", form.x_column), ("y", form.y_column)):
        text = columns.get(place + min(columns, default=0))  # counted from 0 or from 1
        if text is not None:
            found[key] = text
    return {key: text.strip(' \t";,') for key, text in found.items()}
