"""Attention between the patches of spectra."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from molspectra._evaluation import evaluating
from molspectra._signature import unwrap
from molspectra._validation import checked
from molspectra.plots.arrays import as_array
from molspectra.plots.style import one_panel, style
from molspectra.plots.units import kind_name, unit_name
from molspectra.spectra import PreparedSpectra, SpecFormer, SpectrumAxis, SpectrumFeatures


@checked
def attention(
    specformer: nn.Module,
    spectra: Any,
    *,
    layer: int = -1,
    head: int | Literal["mean"] | None = None,
    sample: int | None = None,
    axes: Mapping[str, SpectrumAxis] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the attention between tokens of a SpecFormer by head, in blocks of the kinds of spectrum.

    Rows attend to columns. Ticks are places on the axes of the spectra (`specformer.token_positions`), and colors are
    logarithmic.

    Args:
        specformer: The SpecFormer, also inside of a wrapper such as `AveragedModel`.
        spectra: Molecules or a dict of spectra, which are encoded in evaluation mode, or features that
            `specformer(spectra, return_attention=True)` has returned.
        layer: Number of the layer, from the end if negative.
        head: Number of a head, or "mean" over all. None draws a panel for each.
        sample: Number of a molecule. None averages over all, each pair over the molecules that have both spectra.
        axes: Axis of each kind. Default: those that SpecFormer was built with, or those of prepared spectra. Ticks of
            kinds without one are numbers of tokens.
        ax: Axes to draw one head or the mean on. Default: a new figure.

    Returns:
        The axes, or an array of axes, one per head.

    Raises:
        TypeError: The encoder is no SpecFormer.
        ValueError: The features have no attention, or no such layer, head or sample.

    Example:
        >>> specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=16, num_heads=4)
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> len(ms.plots.attention(specformer, batch))
        4
        >>> ax = ms.plots.attention(specformer, batch, head="mean")
    """
    inside = unwrap(specformer)
    if not isinstance(inside, SpecFormer):
        raise TypeError(f"specformer must be a SpecFormer, whose tokens attend to each other; got {inside!r:.60}.")
    if axes is None:
        axes = inside.axes_of(spectra) if isinstance(spectra, PreparedSpectra) else inside.axes
    if not isinstance(spectra, SpectrumFeatures):
        with evaluating(specformer):
            spectra = specformer(spectra, return_attention=True)
    maps = _select(spectra, layer, head, sample)
    if ax is not None and len(maps) > 1:
        raise ValueError(f'ax takes one of {len(maps)} heads. Choose one with head=, or head="mean".')
    positive = np.concatenate([of_head[of_head > 0] for of_head in maps])
    limits = (np.quantile(positive, 0.02), positive.max()) if positive.size else (1e-3, 1.0)
    with style() as plt:
        from matplotlib.colors import LogNorm

        if len(maps) == 1:
            panels = np.array([one_panel(plt, ax, (5.0, 4.2))], dtype=object)
        else:
            columns = min(4, math.ceil(len(maps) ** 0.5))
            rows = math.ceil(len(maps) / columns)
            size = (2.1 * columns + 1.2, 2.1 * rows + 0.7)
            shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
            grid = plt.subplots(rows, columns, figsize=size, **shared)[1].reshape(-1)
            panels = grid[: len(maps)]
            for unused in grid[len(maps) :]:
                unused.remove()
        for number, (panel, of_head) in enumerate(zip(panels, maps, strict=True)):
            image = panel.imshow(of_head, norm=LogNorm(limits[0], limits[1], clip=True), aspect="equal")
            _blocks(panel, inside, axes, crowded=len(maps) > 1)
            if len(maps) > 1:
                panel.set_title(f"head {number}", pad=12)
                panel.label_outer()
        panels[0].figure.colorbar(image, ax=list(panels), label="attention", shrink=0.8)
    return panels[0] if len(panels) == 1 else panels


def _select(features: SpectrumFeatures, layer: int, head: Any, sample: int | None) -> list[np.ndarray]:
    """Return the chosen maps (n, n)."""
    if features.attention is None:
        raise ValueError("spectra have no attention; call specformer(spectra, return_attention=True).")
    of_layer = features.attention[_checked("layer", layer, len(features.attention))]
    if sample is None:
        maps = _mean(of_layer, features.valid)
    else:
        maps = as_array("attention", of_layer[_checked("sample", sample, len(of_layer))])
    if head is None:
        return list(maps)
    return [maps.mean(axis=0) if head == "mean" else maps[_checked("head", head, len(maps))]]


def _mean(maps: Tensor, valid: Tensor) -> np.ndarray:
    """Average maps (B, heads, n, n) over the samples that have both spectra of a pair of tokens, 0 if none has."""
    both = as_array("valid", valid.unsqueeze(1) & valid.unsqueeze(2))[:, None]
    return (as_array("attention", maps) * both).sum(axis=0) / both.sum(axis=0).clip(min=1)


def _checked(name: str, number: int, count: int) -> int:
    if not isinstance(number, int) or not -count <= number < count:
        raise ValueError(f"{name} must lie in 0..{count - 1}; got {number!r}.")
    return number


def _blocks(panel: Any, specformer: SpecFormer, axes: Mapping[str, SpectrumAxis], crowded: bool) -> None:
    """Separate the kinds of spectrum by lines, and label places on their axes."""
    ticks, labels, centers, names, start = [], [], [], [], 0
    for kind, patcher in specformer.patchers.items():
        axis = axes.get(kind)
        samples = patcher.centers if axis is None else patcher.resized(axis.length).centers
        count = len(samples)
        places = np.arange(count, dtype=np.float64) if axis is None else (axis.start + axis.step * samples).numpy()
        for value in _round_values(places[0], places[-1], 2 if crowded else 4):
            ticks.append(start + float(np.interp(value, places, np.arange(count))))
            labels.append(f"{value:g}")
        centers.append(start + (count - 1) / 2)
        names.append(f"{kind_name(kind)} ({'token' if axis is None else unit_name(axis)})")
        start += count
        if kind != specformer.kinds[-1]:
            panel.axhline(start - 0.5, color="white", lw=0.8)
            panel.axvline(start - 0.5, color="white", lw=0.8)
    panel.set_xticks(ticks, labels, rotation=90)
    panel.set_yticks(ticks, labels)
    panel.tick_params(labelsize=6 if crowded else 7, length=2)
    for center, name in zip(centers, names, strict=True):
        look = {"fontsize": 6 if crowded else 9}
        name = name.split(" (")[0] if crowded else name
        panel.text(center, 1.01, name, transform=panel.get_xaxis_transform(), ha="center", va="bottom", **look)
        if not crowded:
            sideways = {"rotation": 270, "ha": "left", "va": "center"}
            panel.text(1.02, center, name, transform=panel.get_yaxis_transform(), **sideways, **look)
    panel.spines[:].set_visible(False)
    if not crowded:
        panel.set(xlabel="attended to", ylabel="attending")


def _round_values(first: float, last: float, count: int) -> list[float]:
    """Return about `count` round numbers between two places."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted((first, last))
    values = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(value) for value in values if low <= value <= high]
