"""Composable PyTorch parts for learning 3D molecular representations with energy spectra.

    data → noise → encoder → heads → objectives → a dict of losses

Each folder is one stage of that pipeline. `methods` are the published recipes, wired from the parts of the others.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from molspectra import (
    data,
    distributed,
    embedding,
    encoders,
    geometry,
    heads,
    layers,
    methods,
    noise,
    objectives,
    plots,
    pretrained,
    retrieval,
    spectra,
    uncertainty,
)
from molspectra._config import Configurable
from molspectra.calculator import ase_calculator
from molspectra.embedding import embed

try:
    __version__ = version("molspectra")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Configurable",
    "ase_calculator",
    "data",
    "distributed",
    "embed",
    "embedding",
    "encoders",
    "geometry",
    "heads",
    "layers",
    "methods",
    "noise",
    "objectives",
    "plots",
    "pretrained",
    "retrieval",
    "spectra",
    "uncertainty",
]


def __getattr__(name: str) -> Any:
    """Import `molspectra.sklearn`, which needs scikit-learn, when it is first used."""
    if name == "sklearn":
        return importlib.import_module("molspectra.sklearn")
    raise AttributeError(f"module 'molspectra' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
