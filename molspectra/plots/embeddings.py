"""Maps of embeddings in two dimensions."""

import warnings
from typing import Any, Literal

import numpy as np

from molspectra._validation import check_choice, checked
from molspectra.embedding import EmbeddingResult
from molspectra.features import AtomFeatures
from molspectra.plots.arrays import as_array
from molspectra.plots.style import color as shade
from molspectra.plots.style import one_panel, style
from molspectra.spectra import SpectrumFeatures

Method = Literal["pca", "tsne", "umap"]
_AXES = {"tsne": "t-SNE", "umap": "UMAP"}


@checked
def embedding(
    features: Any,
    color: Any = None,
    *,
    label: str | None = None,
    method: Method = "pca",
    seed: int = 0,
    ax: Any = None,
) -> Any:
    """Draw rows of features as points in a plane.

    Args:
        features: Features (M, F), :class:`~molspectra.spectra.SpectrumFeatures` (their embedding),
            :class:`~molspectra.encoders.AtomFeatures` (the scalars of each atom), or the result of
            `embedding.embed_molecules`. Rows that are not finite are left out with a warning.
        color: Number of each row, for a color scale, or name of its group, for a legend.
        label: Name and unit of the color.
        method: "pca", "tsne" (needs scikit-learn) or "umap" (needs umap-learn). Principal components have the share of
            the variance in their labels.
        seed: Seed of "tsne" and "umap".
        ax: Axes to draw on. Default: a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: There are fewer than three rows, the colors are not as many, or the method is unknown.
        ImportError: The package of the method is not installed.

    Example:
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:8])
        >>> specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=16, num_heads=4)
        >>> ax = ms.plots.embedding(specformer(batch), batch.gap, label="HOMO-LUMO gap (eV)")
    """
    check_choice("method", method, ("pca", "tsne", "umap"))
    rows = _rows(features)
    colors = None if color is None else _colors(color, len(rows))
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        warnings.warn(
            f"{(~finite).sum()} of {len(rows)} rows of features are not finite and left out of the figure.",
            stacklevel=2,
        )
    rows, colors = rows[finite], None if colors is None else colors[finite]
    if len(rows) < 3:
        raise ValueError(f"features must have at least 3 finite rows; got {len(rows)} of {len(finite)}.")
    points, names = _principal(rows) if method == "pca" else (_neighbors(rows, method, seed), None)
    with style() as plt:
        panel = one_panel(plt, ax, (4.6, 3.8))
        look = {"s": 18, "linewidths": 0.3, "edgecolors": "white"}
        if colors is None:
            panel.scatter(*points.T, color=shade(0), **look)
        elif colors.dtype.kind in "fc":
            drawn = panel.scatter(*points.T, c=colors, **look)
            panel.figure.colorbar(drawn, ax=panel, label=label or "")
        else:
            for number, group in enumerate(dict.fromkeys(colors.tolist())):
                panel.scatter(*points[colors == group].T, label=group, color=shade(number), **look)
            panel.legend(title=label)
        names = names or [f"{_AXES[method]} {number}" for number in (1, 2)]
        panel.set(xlabel=names[0], ylabel=names[1])
        if method != "pca":
            panel.set(xticks=[], yticks=[])  # distances of t-SNE and UMAP have no scale
    return panel


def _rows(features: Any) -> np.ndarray:
    if isinstance(features, SpectrumFeatures):
        features = features.embedding
    elif isinstance(features, AtomFeatures):
        features = features.scalars
    elif isinstance(features, EmbeddingResult):
        features = features.values
    rows = as_array("features", features)
    if rows.ndim != 2:
        raise ValueError(
            f"features must have shape (M, F), a row for each point; got {rows.shape}. Choose one layer, or pool atoms."
        )
    return rows


def _colors(color: Any, count: int) -> np.ndarray:
    """Return a number or a name of a group for each row."""
    try:
        values = as_array("color", color)
    except TypeError:
        values = np.asarray([str(group) for group in color])
    values = values.reshape(-1)
    if len(values) != count:
        raise ValueError(f"color must have one entry for each of {count} rows; got {len(values)}.")
    return values


def _principal(rows: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the first two principal components (M, 2), and their names with their shares of the variance."""
    centered = rows - rows.mean(axis=0)
    _, singular, directions = np.linalg.svd(centered, full_matrices=False)
    # The sign of a direction is arbitrary: its largest entry is made positive, so that figures can be repeated.
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(np.take_along_axis(directions, largest[:, None], axis=1))
    points = centered @ directions[:2].T
    if points.shape[1] == 1:  # features of one channel
        points, singular = np.pad(points, ((0, 0), (0, 1))), np.pad(singular, (0, 1))
    shares = singular**2 / max((singular**2).sum(), np.finfo(float).tiny)
    return points, [f"principal component {number + 1} ({shares[number]:.0%})" for number in range(2)]


def _neighbors(rows: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Return an embedding of neighborhoods (M, 2).

    Raises:
        ImportError: its package is not installed.
    """
    if method == "tsne":
        try:
            from sklearn.manifold import TSNE
        except ImportError as error:
            raise ImportError('method="tsne" needs scikit-learn: pip install scikit-learn.') from error
        perplexity = min(30.0, (len(rows) - 1) / 3)
        return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError('method="umap" needs umap-learn: pip install umap-learn.') from error
    return UMAP(n_neighbors=min(15, len(rows) - 1), random_state=seed).fit_transform(rows)
