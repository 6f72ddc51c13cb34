"""Look of all figures: colors that people with any color vision tell apart, readable text, few lines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

# Okabe and Ito, Color Universal Design (2008): distinct under all common kinds of color blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "axes.grid": False,
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.dpi": 110,
        "figure.facecolor": "white",
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "image.cmap": "viridis",
        "image.interpolation": "nearest",
        "legend.fontsize": 9,
        "legend.frameon": False,
        "lines.linewidth": 1.2,
        "pdf.fonttype": 42,
        "savefig.dpi": 300,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
    }
)
"""Settings of matplotlib in these figures. `plt.rcParams.update(ms.plots.STYLE)` applies them to your own."""


@contextmanager
def style() -> Iterator[Any]:
    """Apply the look of these figures within a block, which gets `matplotlib.pyplot`.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> with ms.plots.style() as plt:
        ...     figure, ax = plt.subplots()
    """
    try:
        from cycler import cycler
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError('molspectra.plots needs matplotlib: pip install "molspectra[plots]".') from error
    settings: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLORS)}
    with plt.rc_context(settings):
        yield plt


def color(number: int) -> str:
    """Return one of the six colors, in turn. As "C0" it would be looked up later, outside of this style."""
    return COLORS[number % 6]


def one_panel(plt: Any, ax: Any, size: tuple[float, float]) -> Any:
    """Return the given axes, or those of a new figure of a size in inches."""
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
