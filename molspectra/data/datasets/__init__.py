"""Data sets, one file each, on a common base that stores molecules."""

from molspectra.data.datasets.cascade_nmr import CascadeNMR
from molspectra.data.datasets.geom import GEOM
from molspectra.data.datasets.massbank import MassBank
from molspectra.data.datasets.massspecgym import MassSpecGym
from molspectra.data.datasets.md17 import MD17
from molspectra.data.datasets.measured import MeasuredSpectra
from molspectra.data.datasets.minispectra import MiniSpectra
from molspectra.data.datasets.multimodal import MultimodalSpectra
from molspectra.data.datasets.nmrshiftdb import NMRShiftDB
from molspectra.data.datasets.pcqm4mv2 import PCQM4Mv2
from molspectra.data.datasets.qm9 import QM9, read_uncharacterized
from molspectra.data.datasets.qm9s import QM9S
from molspectra.data.datasets.qm9sp import QM9SP
from molspectra.data.datasets.stored import Skipped, StoredDataset
from molspectra.data.datasets.trajectory import Trajectory
from molspectra.data.datasets.xtb_vibrations import XTBVibrations

__all__ = [
    "GEOM",
    "MD17",
    "QM9",
    "QM9S",
    "QM9SP",
    "CascadeNMR",
    "MassBank",
    "MassSpecGym",
    "MeasuredSpectra",
    "MiniSpectra",
    "MultimodalSpectra",
    "NMRShiftDB",
    "PCQM4Mv2",
    "Skipped",
    "StoredDataset",
    "Trajectory",
    "XTBVibrations",
    "read_uncharacterized",
]


def __dir__() -> list[str]:
    return __all__
