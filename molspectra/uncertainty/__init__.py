"""Predictions with their uncertainty, and the calibration of it."""

from molspectra.uncertainty.calibration import Calibration, calibration
from molspectra.uncertainty.distribution import Distribution, mean_of
from molspectra.uncertainty.evidence import Evidence
from molspectra.uncertainty.normal import Ensemble, Normal

__all__ = ["Calibration", "Distribution", "Ensemble", "Evidence", "Normal", "calibration", "mean_of"]


def __dir__() -> list[str]:
    return __all__
