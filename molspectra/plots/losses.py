"""Losses over the steps or epochs of a training."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.plots.arrays import as_array
from molspectra.plots.style import color, one_panel, style

_TIMES = ("step", "epoch")


@checked
def training(losses: Any, *, names: Sequence[str] | None = None, ax: Any = None) -> Any:
    """Draw the losses of a training, "loss" in black and its parts in color, on a logarithmic scale if positive.

    Args:
        losses: A dict of losses for each step, as methods return them, a dict name → values, a table of pandas, or the
            path of a CSV file with a header. A column "step" or "epoch" is the time, otherwise entries count from 1.
            Entries that are missing are left out.
        names: Losses to draw. Default: all.
        ax: Axes to draw on. Default: a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: The losses are none of these.
        ValueError: There are none, or a name is not among them.
        FileNotFoundError: There is no such file.

    Example:
        >>> ax = ms.plots.training([{"loss": 1.2, "denoising": 0.9}, {"loss": 0.8, "denoising": 0.6}])
    """
    columns = _columns(losses)
    time = next((name for name in _TIMES if name in columns), None)
    drawn = [name for name in columns if name not in _TIMES] if names is None else list(names)
    if not drawn or (unknown := [name for name in drawn if name not in columns]):
        raise ValueError(f"losses must hold {unknown if drawn else 'at least one loss'}; got {list(columns)}.")
    with style() as plt:
        panel = one_panel(plt, ax, (5.2, 3.0))
        for number, name in enumerate(name for name in drawn if name != "loss"):
            _draw(panel, columns, name, time, color=color(number), lw=1.2)
        if "loss" in drawn:
            _draw(panel, columns, "loss", time, color="black", lw=1.6)
        values = np.concatenate([columns[name] for name in drawn])
        if (values[np.isfinite(values)] > 0).all():
            panel.set_yscale("log")
        panel.set(xlabel=time or "step", ylabel="loss")
        panel.margins(x=0.01)
        if len(drawn) > 1:
            panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return panel


def _draw(panel: Any, columns: Mapping[str, np.ndarray], name: str, time: str | None, **look: Any) -> None:
    values = columns[name]
    at = np.arange(1, len(values) + 1) if time is None else columns[time]
    known = np.isfinite(values)
    marker = {"marker": "o", "ms": 3} if known.sum() < 2 else {}
    panel.plot(at[known], values[known], label=name, **marker, **look)


def _columns(losses: Any) -> dict[str, np.ndarray]:
    """Return name → values, NaN where one is missing."""
    if isinstance(losses, str | Path):
        losses = _read(Path(losses))
    elif hasattr(losses, "to_dict") and not isinstance(losses, Data):  # a table of pandas
        losses = losses.to_dict("list")
    if isinstance(losses, Mapping):
        columns = {str(name): np.atleast_1d(as_array(f"losses[{name!r}]", values)) for name, values in losses.items()}
        if len({len(values) for values in columns.values()}) > 1:
            lengths = {name: len(values) for name, values in columns.items()}
            raise ValueError(f"losses must have equally many values each; got {lengths}.")
        return columns
    if not isinstance(losses, Sequence) or not all(isinstance(step, Mapping) for step in losses):
        raise TypeError(
            "losses must be a list of dicts, a dict of lists, a table of pandas or the path of a CSV file; got a "
            f"{type(losses).__name__}."
        )
    names = dict.fromkeys(str(name) for step in losses for name in step)
    return {
        name: np.array([float(as_array(f"losses[{name!r}]", step.get(name, np.nan))) for step in losses])
        for name in names
    }


def _read(path: Path) -> list[dict[str, float]]:
    """Read a CSV file with a header. Empty fields are missing.

    Raises:
        ValueError: a field is no number.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    try:
        return [{name: float(text) for name, text in row.items() if text and name} for row in rows]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be a CSV file of numbers with a header, separated by commas: {error}."
        ) from error
