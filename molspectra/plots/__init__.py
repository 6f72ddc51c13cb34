"""Figures of spectra, molecules, noises, attention, embeddings and training (extra `plots`).

Every function returns matplotlib axes, which can be changed and drawn on. A function that fills one panel takes `ax=`.
"""

from molspectra.plots.attention_maps import attention
from molspectra.plots.embeddings import embedding
from molspectra.plots.losses import training
from molspectra.plots.molecules import molecule
from molspectra.plots.noises import noise
from molspectra.plots.reconstructions import reconstruction
from molspectra.plots.style import STYLE, style
from molspectra.plots.survey import spectrum

__all__ = [
    "STYLE",
    "attention",
    "embedding",
    "molecule",
    "noise",
    "reconstruction",
    "spectrum",
    "style",
    "training",
]


def __dir__() -> list[str]:
    return __all__
