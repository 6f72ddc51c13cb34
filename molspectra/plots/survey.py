"""Spectra over their axes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.plots.arrays import as_array
from molspectra.plots.style import color, one_panel, style
from molspectra.plots.units import axis_label, customary_direction, is_mass, kind_name
from molspectra.spectra import SpectrumAxis

_KINDS = ("uv_vis", "ir", "raman")


@checked
def spectrum(
    spectra: Any,
    axis: SpectrumAxis | Mapping[str, SpectrumAxis] | None = None,
    *,
    labels: Iterable[Any] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a spectrum, several over each other, or the kinds of spectrum of a molecule in a panel each.

    Infrared spectra and chemical shifts descend to the right, as is customary, and mass spectra are sticks.

    Args:
        spectra: Intensities (L,) or (B, L), rows of NaN being missing spectra, or a molecule, batch or dict with
            fields of them.
        axis: Their axis. A dict kind → axis draws these fields in a panel each, as `ms.data.MiniSpectra.axes` does.
            None draws over the number of the sample, and of molecules the fields `uv_vis`, `ir` and `raman`.
        labels: Name of each of several spectra, for a legend, or a number, such as the scores of
            :class:`~molspectra.retrieval.Matches`.
        ax: Axes to draw on. Default: a new figure.

    Returns:
        The axes, or an array of axes, one per kind.

    Raises:
        TypeError: The spectra are none of these.
        ValueError: A length is not that of the axis, a field is missing, or labels are not as many as the spectra.

    Example:
        >>> molecule = ms.data.MiniSpectra()[0]
        >>> ms.plots.spectrum(molecule, ms.data.IR).get_xlabel()
        'wavenumber (cm$^{-1}$)'
        >>> len(ms.plots.spectrum(molecule, ms.data.MiniSpectra.axes))
        3
    """
    fields = _fields(spectra, axis)
    names = None if labels is None else [label if isinstance(label, str) else f"{float(label):.3f}" for label in labels]
    with style() as plt:
        if len(fields) == 1:
            panels = [one_panel(plt, ax, (6.4, 2.4))]
        elif ax is None:
            panels = list(plt.subplots(len(fields), figsize=(6.4, 1.9 * len(fields)), layout="constrained")[1])
        else:
            raise ValueError(f"ax takes one kind of spectrum; got {list(fields)}. Choose one with axis=.")
        for panel, (kind, (intensity, its_axis)) in zip(panels, fields.items(), strict=True):
            _draw(panel, kind, intensity, its_axis, names)
    return panels[0] if len(panels) == 1 else np.array(panels, dtype=object)


def _fields(spectra: Any, axis: Any) -> dict[str, tuple[np.ndarray, SpectrumAxis | None]]:
    """Return kind → intensities (B, L) and axis."""
    if not isinstance(spectra, Data | Mapping):
        if isinstance(axis, Mapping):
            raise TypeError(
                "axis must be one SpectrumAxis for an array of intensities; got a dict. Pass a molecule or a dict of "
                "spectra to draw several kinds."
            )
        return {axis.name if axis is not None else "": (_rows(spectra, axis), axis)}
    axes = axis if isinstance(axis, Mapping) else {axis.name: axis} if axis is not None else None
    present = list(spectra.keys())
    wanted = axes if axes is not None else _KINDS if isinstance(spectra, Data) else present
    kinds = [kind for kind in wanted if kind in present]
    if not kinds:
        raise ValueError(
            f"spectra must have a field of the kinds {list(wanted)}; got the fields {present}. Name another by its "
            "axis, as in axis={'nmr_h': SpectrumAxis(...)}."
        )
    own_axis = {kind: None if axes is None else axes[kind] for kind in kinds}
    return {kind: (_rows(spectra[kind], own_axis[kind]), own_axis[kind]) for kind in kinds}


def _rows(intensity: Any, axis: SpectrumAxis | None) -> np.ndarray:
    """Return intensities as rows (B, L) of the length of an axis."""
    rows = np.atleast_2d(as_array("spectra", intensity))
    if rows.ndim != 2 or (axis is not None and rows.shape[1] != axis.length):
        expected = "L" if axis is None else axis.length
        raise ValueError(
            f"spectra must have shape ({expected},) or (B, {expected}); got {rows.shape}. Bring them onto the axis "
            "with molspectra.data.resample, or pass their own axis."
        )
    return rows


def _draw(panel: Any, kind: str, rows: np.ndarray, axis: SpectrumAxis | None, labels: Sequence[str] | None) -> None:
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"labels must be as many as the spectra, {len(rows)}; got {len(labels)}.")
    grid = np.arange(rows.shape[1]) if axis is None else axis.grid.numpy()
    for number, row in enumerate(rows):
        look = {"label": None if labels is None else labels[number], "color": color(number)}
        if is_mass(axis):
            shown = np.nan_to_num(row) > 0
            panel.vlines(grid[shown], 0, row[shown], lw=1.2, **look)
        else:
            panel.plot(grid, row, **look)
    if np.isnan(rows).all():
        panel.text(0.5, 0.5, "missing", transform=panel.transAxes, ha="center", va="center", color="0.5")
    customary_direction(panel, axis)
    panel.set(xlabel=axis_label(axis), ylabel=f"{kind_name(kind)} intensity".strip())
    if np.nanmin(rows, initial=0.0) >= 0:
        panel.set_ylim(bottom=0)
    if labels is not None:
        panel.legend()
