"""Pretext tasks and fine-tuning: every method is a callable `method(encoder, batch, generator=None) -> losses`."""

from molspectra.methods.combined import Combined
from molspectra.methods.coord import Coord
from molspectra.methods.denoising import Denoising, predict_vectors
from molspectra.methods.dens import DeNS
from molspectra.methods.emgp import EMGP
from molspectra.methods.empp import EMPP, PredictedPosition
from molspectra.methods.encoding import encode
from molspectra.methods.evaluation import Errors
from molspectra.methods.force_encoding import ForceEncoding
from molspectra.methods.frad import Frad
from molspectra.methods.masked_atom_embedding import MaskedAtomEmbedding
from molspectra.methods.masked_reconstruction import MaskedReconstruction
from molspectra.methods.molecule_condition import MoleculeCondition
from molspectra.methods.molspectra import MolSpectra
from molspectra.methods.noise_scale_classifier import NoiseScaleClassifier
from molspectra.methods.noisy_nodes import NoisyNodes
from molspectra.methods.position_readout import locate
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.methods.regression import Predicted, Regression
from molspectra.methods.scd import SCD
from molspectra.methods.se3_ddm import SE3DDM
from molspectra.methods.slide import SliDe
from molspectra.methods.spectra_regression import SpectraRegression
from molspectra.methods.spectrum_prediction import SpectrumPrediction
from molspectra.methods.training_module import TrainingModule

__all__ = [
    "EMGP",
    "EMPP",
    "SCD",
    "SE3DDM",
    "Combined",
    "Coord",
    "DeNS",
    "Denoising",
    "Errors",
    "ForceEncoding",
    "Frad",
    "MaskedAtomEmbedding",
    "MaskedReconstruction",
    "MolSpectra",
    "MoleculeCondition",
    "NoiseScaleClassifier",
    "NoisyNodes",
    "Predicted",
    "PredictedPosition",
    "PretextTask",
    "Regression",
    "SliDe",
    "SpectraRegression",
    "SpectrumPrediction",
    "TaskOutput",
    "TrainingModule",
    "encode",
    "locate",
    "predict_vectors",
]


def __dir__() -> list[str]:
    return __all__
