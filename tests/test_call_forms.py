"""Call forms of all heads and of all methods: one each."""

import inspect
from typing import NamedTuple

import pytest
from torch import nn

import molspectra as ms

# Public names of molspectra.methods that are no methods.
PARTS = {"ForceEncoding", "MaskedAtomEmbedding", "MoleculeCondition", "NoiseScaleClassifier", "TrainingModule"}
RESULTS = {"Errors", "Predicted", "PredictedPosition", "TaskOutput"}
FUNCTIONS = {"encode", "locate", "predict_vectors"}

HEADS = list(ms.heads.__all__)
# Methods of spectra alone, which take the batch also as the only argument.
WITHOUT_ENCODER = {"MaskedReconstruction"}
METHODS = [name for name in ms.methods.__all__ if name not in PARTS | RESULTS | FUNCTIONS]


class Parameter(NamedTuple):
    """Name of a parameter, and True if a call may leave it out."""

    name: str
    optional: bool


def call_form(module):
    """Return the parameters of the forward of a class of modules, without self."""
    assert inspect.isclass(module)
    assert issubclass(module, nn.Module)
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
    return [Parameter(parameter.name, parameter.default is not parameter.empty) for parameter in parameters]


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_called_with_atoms_and_data(name):
    # Heads that read elements, positions or spectra require the molecules, and the others accept None for one molecule.
    forms = [[Parameter("atoms", False), Parameter("data", optional)] for optional in (False, True)]
    assert call_form(getattr(ms.heads, name)) in forms


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_called_with_encoder_batch_and_generator(name):
    form = [Parameter("encoder", False), Parameter("batch", name in WITHOUT_ENCODER), Parameter("generator", True)]
    assert call_form(getattr(ms.methods, name)) == form


def test_every_public_name_of_methods_is_known():
    assert {"Coord", "EMGP", "EMPP", "Frad", "MolSpectra", "NoisyNodes", "Regression", "SliDe"} <= set(METHODS)
    assert set(ms.methods.__all__) >= PARTS | RESULTS | FUNCTIONS


def test_pretext_tasks_return_one_kind_of_output():
    names = {"PretextTask", "Denoising", "Coord", "Frad", "SliDe", "EMGP", "EMPP", "SE3DDM", "DeNS", "SCD", "Combined"}
    tasks = [cls for name in METHODS if issubclass(cls := getattr(ms.methods, name), ms.methods.PretextTask)]
    assert {task.__name__ for task in tasks} == names
    assert {task.run.__annotations__["return"] for task in tasks} == {ms.methods.TaskOutput}
