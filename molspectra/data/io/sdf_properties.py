"""Properties that an SD file states below a molecule, as fields."""

import re
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from molspectra.data.io.tables import is_reserved, to_number
from molspectra.data.io.text import to_float

_TITLE = re.compile(r">.*?<([^>]+)>")


def parse_properties(lines: Sequence[str]) -> dict[str, str]:
    """Parse the properties below the molecule of an SD record.

    Args:
        lines: Lines of the record.

    Returns:
        Name → text of each property, whose lines are joined by line breaks.
    """
    stated: dict[str, str] = {}
    end = next((number for number, line in enumerate(lines) if line.startswith("M  END")), len(lines))
    rest = iter(lines[end + 1 :])
    for line in rest:
        title = _TITLE.match(line)
        if title is None:
            continue
        text = []
        for entry in rest:
            if not entry.strip():
                break
            text.append(entry.strip())
        stated[title[1].strip()] = "\n".join(text)
    return stated


def property_fields(stated: Mapping[str, str], labels: Sequence[str] | None) -> dict[str, Tensor | str]:
    """Convert properties to fields of a molecule.

    Args:
        stated: Name → text of each property.
        labels: Names of properties that are numbers, each of which becomes a field, or None for all properties.

    Returns:
        Labels as (1,) float64, NaN for those that the record lacks or leaves empty. With `labels=None`, numbers as (1,)
        float64 and other texts as they are.

    Raises:
        ValueError: a label is not a number.

    Warns:
        UserWarning: a property has a name that cannot be that of a field, and is left out.
    """
    if labels is not None:
        return {name: _number(to_number(name, stated.get(name))) for name in labels}
    fields: dict[str, Tensor | str] = {}
    for name, text in stated.items():
        if is_reserved(name):
            warnings.warn(
                f"The property {name!r} of an SD file is left out: torch_geometric or the molecule itself uses fields "
                "of such a name. Rename it in the file, or choose properties with labels=[...].",
                UserWarning,
                stacklevel=2,
            )
            continue
        try:
            fields[name] = _number(to_float(text))
        except ValueError:
            fields[name] = text
    return fields


def _number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)
