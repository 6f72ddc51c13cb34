"""Representations of results: one line in a terminal, a table in a notebook."""

import dataclasses
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn


def fields_repr(self: Any) -> str:
    """Return the class and the shapes of the fields of a named tuple or dataclass, without those that are empty.

    The numbers of a tensor would fill a screen, and each tensor prints them itself.
    """
    shown = (f"{name}={shape_of(value)}" for name, value in fields_of(self).items() if not _is_empty(value))
    return f"{type(self).__name__}({', '.join(shown)})"


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a named tuple or of a dataclass."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value._asdict()


def shape_of(value: Any) -> str:
    """Return the shape of a tensor, the class of a module, the shapes in a container, or the value itself."""
    if isinstance(value, Tensor):
        # A loss is worth its number, unless reading it would wait for a device.
        return f"{value.item():.4g}" if value.dim() == 0 and value.device.type == "cpu" else str(list(value.shape))
    if isinstance(value, nn.Module):
        return type(value).__name__
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {shape_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        shapes = [shape_of(item) for item in value]
        same = len(shapes) > 1 and len(set(shapes)) == 1
        return f"{len(shapes)} × {shapes[0]}" if same else f"[{', '.join(shapes)}]"
    return repr(value)


def html_table(caption: str, header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table for a notebook. All text is escaped."""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{_cells('th', header)}</tr></thead>" if header else ""
    return f"<table><caption>{html.escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _cells(tag: str, row: Sequence[Any]) -> str:
    style = ' style="text-align: left"'
    return "".join(f"<{tag}{style}>{html.escape(str(cell))}</{tag}>" for cell in row)


def _is_empty(value: Any) -> bool:
    """Return True for None and for containers without entries, not for tensors without rows."""
    return value is None or (isinstance(value, Mapping | list | tuple) and len(value) == 0)
