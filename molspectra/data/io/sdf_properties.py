"""Properties that an SD file states below a molecule, as fields."""

import math
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

    Raises:
        ValueError: a property is stated twice, with different texts.
    """
    end = next((number for number, line in enumerate(lines) if line.startswith("M  END")), len(lines))
    texts: list[tuple[str, list[str]]] = []
    reading = False
    for line in lines[end + 1 :]:
        title = _TITLE.match(line)
        if title is not None:  # text has no such line, so that it may follow without an empty one
            texts.append((title[1].strip(), []))
            reading = True
        elif not line.strip():
            reading = False
        elif reading:
            texts[-1][1].append(line.strip())
    stated: dict[str, str] = {}
    for name, text in texts:
        joined = "\n".join(text)
        if stated.get(name, joined) != joined:
            raise ValueError(
                f"Properties must be stated once; {name!r} is {stated[name]!r} and again {joined!r}. Remove one."
            )
        stated[name] = joined
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
        ValueError: a label is not a number, or a number is too large for float64.

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
        fields[name] = _number(to_number(name, text)) if _is_number(text) else text
    return fields


def _is_number(text: str) -> bool:
    try:
        value = to_float(text)
    except ValueError:
        return False
    return not math.isinf(value) or any(character.isdigit() for character in text)  # "inf" stays a text


def _number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)
