"""Wrong arguments of every public class: refused by name in words of the library, or accepted with a meaning."""

import importlib
import inspect
import traceback
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, SchNet

import molspectra as ms

pytestmark = pytest.mark.usefixtures("no_shape_checks")  # which would refuse them first, and users have none

PACKAGE = str(Path(ms.__file__).parent)
NAMESPACES = (
    "data",
    "data.transforms",
    "spectra",
    "spectra.augment",
    "geometry",
    "layers",
    "noise",
    "encoders",
    "heads",
    "objectives",
    "methods",
    "retrieval",
    "retrieval.splits",
)
# Signs of an error that arose where the value was used, and not where it was given.
CRYPTIC = (
    "mat1",
    "has no attribute",
    "unsupported operand",
    "not supported between",
    "not subscriptable",
    "not iterable",
    "not callable",
    "object cannot be interpreted",
    "unhashable",
    "ambiguous",
)


class AnyClass:
    """A class, where an object is expected."""


WRONG = {
    "None": None,
    "a text": "foo",
    "a digit": "5",
    "a float": 2.5,
    "an integral float": 16.0,
    "a bool": True,
    "a list": [1, 2],
    "an array": np.zeros(3),
    "a class": AnyClass,
    "NaN": float("nan"),
    "a batch": Batch.from_data_list([Data(z=torch.ones(1, dtype=torch.int64), pos=torch.zeros(1, 3))]),
    "zero": 0,
    "minus one": -1,
}


def public_classes():
    """Return every class of every namespace that is called by users to make an object, by its dotted name."""
    found = {}
    for namespace in NAMESPACES:
        module = importlib.import_module(f"molspectra.{namespace}")
        for name in module.__all__:
            value = getattr(module, name)
            is_result = inspect.isclass(value) and issubclass(value, tuple)
            if inspect.isclass(value) and value not in found.values() and name not in RESULTS and not is_result:
                found[f"{namespace}.{name}"] = value
    return found


# Records that the library makes and returns, and protocols and base classes.
RESULTS = {
    "AtomFeatures",
    "BaseEncoder",
    "Encoder",
    "Errors",
    "Estimate",
    "Evaluation",
    "InternalJacobian",
    "Leakage",
    "MaskedPairs",
    "Matches",
    "LayerNorm",  # of torch
    "Molecules",
    "Objective",
    "PositionDistribution",
    "Predicted",
    "PredictedPosition",
    "PreparedSpectra",
    "PretextTask",
    "ReadMolecule",
    "Split",
    "Augmentation",
    "GridAugmentation",
    "PeakAugmentation",
    "Conformers",
    "SpectrumReader",
    "SpectrumEncoder",
    "SpectrumFeatures",
    "StoredDataset",
    "TaskOutput",
}

AXIS = ms.spectra.SpectrumAxis("ir", 0.0, 59.0, 1.0, "cm^-1")
PEAKS = ms.spectra.PeakAxis("nmr", "ppm", (0.0, 10.0))


def specformer():
    return ms.spectra.SpecFormer({"ir": 60}, 10, 5, 8, num_layers=1, num_heads=2, out_channels=8)


def distances(z, pos, batch):
    return torch.linalg.vector_norm(pos, dim=1, keepdim=True)


# Smallest arguments of each class, by which also its other arguments are tried.
ARGUMENTS = {
    "PositionJitter": lambda: {"std": 1.0},
    "Augment": lambda: {"augmentations": {"ir": ms.spectra.augment.Gain()}, "axes": {"ir": AXIS}},
    "AxisPositions": lambda: {"span": 10.0, "spacing": 1.0, "channels": 8},
    "BandPooling": lambda: {"first": 0.0, "last": 10.0, "spacing": 1.0, "num_bands": 2},
    "BandGain": lambda: {"width": 100.0},
    "BroadenSticks": lambda: {"fwhm": 10.0},
    "Compose": lambda: {"augmentations": [ms.spectra.augment.Gain()]},
    "CropRange": lambda: {"start": 10.0, "stop": 50.0},
    "NoisePeaks": lambda: {"positions": (10.0, 20.0)},
    "Rebroaden": lambda: {"fwhm": 10.0},
    "Shift": lambda: {"distance": 1.0},
    "Sometimes": lambda: {"augmentation": ms.spectra.augment.Gain()},
    "AtomBudgetSampler": lambda: {"sizes": [1, 2, 3], "max_atoms": 4},
    "AtomicReferenceEnergies": lambda: {"elements": [1, 6, 8], "energies": [-0.5, -37.0, -75.0]},
    "CNNAM": lambda: {"lengths": {"ir": 60}, "channels": [4, 4]},
    "Combined": lambda: {"methods": {"coord": (ms.methods.Coord(8), 1.0)}},
    "CosineCutoff": lambda: {"cutoff": 5.0},
    "DegreeLinear": lambda: {"in_channels": 4, "out_channels": 4, "l_max": 1},
    "Denoising": lambda: {
        "noise": ms.noise.CoordNoise(),
        "head": ms.heads.VectorHead(8),
        "objective": ms.objectives.DenoisingLoss(),
    },
    "EGNN": lambda: {"hidden_channels": 8, "num_layers": 1},
    "ElementScale": lambda: {"elements": [1, 6, 8], "means": [0.0, 0.0, 0.0], "stds": [1.0, 1.0, 1.0]},
    "EnsembleHead": lambda: {"heads": [ms.heads.ScalarHead(8), ms.heads.ScalarHead(8)]},
    "MaskedPeakLoss": lambda: {"bins": ms.spectra.PeakDecoder(8, {"nmr": PEAKS}, 8).bins},
    "PeakDecoder": lambda: {"channels": 8, "axes": {"nmr": PEAKS}, "num_bins": 8},
    "PeakMask": lambda: {"axes": {"nmr": PEAKS}},
    "StickHead": lambda: {"channels": 8, "axes": {"ir": AXIS}, "fwhm": 4.0},
    "StickLoss": lambda: {"width": 10.0},
    "EquivariantTransformer": lambda: {"hidden_channels": 8, "num_layers": 1, "num_heads": 2, "num_rbf": 4},
    "ExpNormalBasis": lambda: {"num_rbf": 4, "cutoff": 5.0},
    "FillMissingSpectra": lambda: {"axes": {"ir": 60}},
    "FourierFeatures": lambda: {"span": 10.0, "resolution": 0.1},
    "PeakTokens": lambda: {"axis": PEAKS, "channels": 8},
    "FunctionEncoder": lambda: {"function": distances, "out_channels": 1},
    "FusionHead": lambda: {"channels": 8, "spectrum_channels": 8},
    "GatedEquivariantBlock": lambda: {"in_channels": 4, "out_channels": 4},
    "GradientHead": lambda: {"channels": 8},
    "GraphEncoder": lambda: {"module": GCNConv(8, 8), "cutoff": 5.0},
    "Index": lambda: {"embeddings": torch.eye(3)},
    "IrrepsTransformer": lambda: {"hidden_channels": 4, "num_layers": 1, "num_heads": 2, "num_rbf": 4},
    "MaskedReconstruction": lambda: {"specformer": specformer()},
    "MinMaxScaling": lambda: {"minimum": 0.0, "maximum": 1.0},
    "MolSpectra": lambda: {"task": ms.methods.Coord(8), "specformer": specformer()},
    "NoisyNodes": lambda: {"task": ms.methods.Coord(8), "head": ms.heads.ScalarHead(8)},
    "GET": lambda: {"hidden_channels": 4, "num_layers": 1, "num_heads": 2, "num_rbf": 4},
    "PaiNN": lambda: {"hidden_channels": 8, "num_layers": 1, "num_rbf": 4},
    "PeakAxis": lambda: {"name": "nmr", "unit": "ppm", "ranges": (0.0, 10.0)},
    "PatchDecoder": lambda: {"channels": 8, "patch_len": {"ir": 10}},
    "PatchMask": lambda: {"patchers": specformer().patchers},
    "ProjectionMLP": lambda: {"in_channels": 8, "out_channels": 8},
    "PyGEncoder": lambda: {"model": SchNet(8, 8, 1, 4)},
    "Regression": lambda: {"head": ms.heads.ScalarHead(8)},
    "ShardedBatchSampler": lambda: {"num_molecules": 8, "batch_size": 2},
    "SpecFormer": lambda: {"lengths": {"ir": 60}, "hidden_channels": 8, "num_heads": 2, "out_channels": 8},
    "SpectraRegression": lambda: {"head": ms.heads.FusionHead(8, 8), "spectrum_encoder": specformer()},
    "SpectrumAxis": lambda: {"name": "ir", "start": 0.0, "stop": 59.0, "step": 1.0, "unit": "cm^-1"},
    "SpectrumHead": lambda: {"channels": 8, "lengths": {"ir": 60}},
    "SpectrumPatcher": lambda: {"length": 60, "patch_len": 10, "stride": 5},
    "MoleculeStore": lambda: {"directory": "nowhere"},
    "Trajectory": lambda: {
        "z": torch.ones(1, dtype=torch.int64),
        "pos": torch.zeros(2, 1, 3),
        "energy": torch.zeros(2, dtype=torch.float64),
        "forces": torch.zeros(2, 1, 3),
    },
    "SpectrumPrediction": lambda: {"head": ms.heads.SpectrumHead(8, {"ir": 60})},
    "StandardScaling": lambda: {"mean": 0.0, "std": 1.0},
    "TrainingModule": lambda: {"encoder": ms.encoders.PaiNN(8, 1), "method": ms.methods.Coord(8)},
    "WeightedSum": lambda: {"weights": {"coord": 1.0}},
    "LayerNorm": lambda: {"normalized_shape": 8},
}


def arguments_of(cls):
    """Return the smallest arguments of a class."""
    if "root" in inspect.signature(cls).parameters:
        return {"root": "nowhere"}
    make = ARGUMENTS.get(cls.__name__)
    if make is not None:
        return make()
    return {"channels": 8} if "channels" in inspect.signature(cls).parameters else {}


def complaint(error, name):
    """Return what is wrong with an error, or nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    text = str(error)
    if not isinstance(error, TypeError | ValueError):
        return f"{type(error).__name__}: {text[:150]}"
    if not frames[-1].filename.startswith(PACKAGE):
        return f"from {frames[-1].filename}: {text[:150]}"
    if any(sign in text for sign in CRYPTIC):
        return f"cryptic: {text[:150]}"
    if name not in text:
        return f"does not name {name}: {text[:150]}"
    return None


def is_allowed(value, annotation):
    """Return True if an annotation, read as a text, allows a value: independent of the library's own reading."""
    text = str(annotation)
    if annotation in (int, float, str, bool):
        text = annotation.__name__
    if "Any" in text and "[" not in text:
        return True
    if isinstance(value, float) and np.isnan(value):
        return False
    kinds = {
        type(None): ("None", "Optional"),
        str: ("str",),
        bool: ("bool",),
        int: ("int", "float"),
        float: ("float",),
        list: ("Sequence", "Iterable", "Collection", "list"),
        np.ndarray: ("ndarray", "Sequence[float]"),
    }
    return any(kind in text for kind in kinds.get(type(value), ()))


def refuse_network(*_):
    raise OSError("no data set is fetched here")


@pytest.mark.parametrize("name", public_classes())
def test_constructors(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.getaddrinfo", refuse_network)
    cls = public_classes()[name]
    complaints = []
    for argument, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        for kind, value in WRONG.items():
            if "root" in arguments_of(cls) and is_allowed(value, parameter.annotation):
                continue  # would fetch the data set
            try:
                cls(**{**arguments_of(cls), argument: value})
            except Exception as error:
                found = None if isinstance(error, FileNotFoundError) else complaint(error, argument)
            else:
                found = None if is_allowed(value, parameter.annotation) else "accepted"
            if found:
                complaints.append(f"{argument} = {kind}: {found}")
    assert not complaints, "\n".join([f"{name}:", *complaints])


def molecules():
    """Return two molecules with a spectrum and labels, as a batch."""
    made = []
    for z in ([8, 1, 1], [6, 1, 1, 1, 1]):
        pos = torch.randn(len(z), 3)
        bonds = torch.tensor([[0] * (len(z) - 1), list(range(1, len(z)))])
        molecule = Data(z=torch.tensor(z), pos=pos, bond_index=bonds, bond_order=torch.ones(len(z) - 1))
        molecule = ms.data.transforms.AddTopology()(molecule)
        molecule = ms.data.transforms.ForceConstants.generic()(molecule)
        molecule.ir, molecule.y = torch.rand(1, 60), torch.rand(1)
        molecule.energy, molecule.forces = torch.rand(1), torch.rand(len(z), 3)
        molecule.spectrum_embedding = torch.rand(1, 8)
        made.append(molecule)
    return Batch.from_data_list(made)


BATCH = molecules()
NOISY_PAIRS = ms.noise.DistanceNoise()(BATCH)
ATOMS = ms.encoders.AtomFeatures(torch.rand(8, 8), torch.rand(8, 3, 8))
SPECTRA = {"ir": torch.rand(2, 60)}
PATCHES = {"ir": torch.rand(2, 11, 10)}
MASK = {"ir": torch.rand(2, 60) > 0.5}


ATTACHED_BATCH = molecules()
NOISY_PAIRS = ms.noise.DistanceNoise()(BATCH)
ATTACHED_BATCH.pos.requires_grad_()
ATTACHED = ms.encoders.PaiNN(8, 1)(ATTACHED_BATCH.z, ATTACHED_BATCH.pos, ATTACHED_BATCH.batch)

# Right arguments of a call, by the class or by the name of the parameter.
VALID = {
    "atoms": ATOMS,
    "axis": AXIS,
    "batch": BATCH,
    "clean": torch.rand(2, 8),
    "embedding": torch.rand(2, 8),
    "forces": torch.rand(8, 3),
    "data": BATCH,
    "distance": torch.rand(4),
    "features": torch.rand(2, 8),
    "masked": MASK,
    "masked_z": torch.tensor([6, 1]),
    "molecules": [BATCH[0], BATCH[1]],
    "noisy": torch.rand(2, 8),
    "pos": BATCH.pos,
    "scalars": torch.rand(4, 4),
    "spectra": SPECTRA,
    "spectrum": SPECTRA["ir"],
    "target": torch.rand(8, 3),
    "predicted": torch.rand(8, 3),
    "tokens": {"ir": torch.rand(2, 11, 8)},
    "vectors": torch.rand(4, 3, 4),
    "x": SPECTRA["ir"],
    "y": SPECTRA["ir"],
    "z": BATCH.z,
    "z_a": torch.rand(2, 8),
    "z_b": torch.rand(2, 8),
}
CALLS = {
    "AddTopology": {"data": BATCH[0]},
    "BaseEncoder": {"batch": BATCH.batch},
    "FillMissingSpectra": {"data": BATCH[0]},
    "ForceConstants": {"data": BATCH[0]},
    "GradientHead": {"atoms": ATTACHED, "data": ATTACHED_BATCH},
    "DistanceScoreHead": {"data": NOISY_PAIRS, "atoms": ATOMS},
    "DistanceScoreLoss": {
        "predicted": torch.rand(4),
        "target": torch.rand(4),
        "noise_scale": torch.rand(2),
        "molecule": torch.tensor([0, 0, 1, 1]),
    },
    "FourierFeatures": {"positions": torch.rand(2, 5)},
    "PeakTokens": {"peaks": torch.rand(2, 5, 2), "present": torch.ones(2, 5, dtype=torch.bool)},
    "PositionDistributionLoss": {
        "predicted": ms.heads.PositionDistributionHead(8)(ATOMS),
        "displacement": torch.rand(8, 3),
    },
    "EvidentialLoss": {"predicted": ms.heads.EvidentialHead(8)(ATOMS, BATCH), "target": torch.rand(2, 1)},
    "MaskedPeakLoss": {
        "predicted": ms.spectra.PeakDecoder(8, {"nmr": PEAKS}, 8)({"nmr": torch.rand(2, 5, 8)}),
        "target": {"nmr": torch.rand(2, 5, 2)},
        "masked": {"nmr": torch.ones(2, 5, dtype=torch.bool)},
    },
    "PeakDecoder": {"tokens": {"nmr": torch.rand(2, 5, 8)}},
    "PeakMask": {"spectra": {"nmr": torch.rand(2, 5, 2)}},
    "StickLoss": dict.fromkeys(("predicted", "target"), ms.heads.StickHead(8, {"ir": AXIS}, 4.0).sticks(ATOMS, BATCH)),
    "AxisPositions": {"places": torch.rand(4)},
    "BandPooling": {
        "tokens": torch.rand(2, 4, 8),
        "valid": torch.ones(2, 4, dtype=torch.bool),
        "places": torch.rand(4),
    },
    "GridAugmentation": {"spectra": SPECTRA["ir"]},
    "HookPoint": {"input": torch.rand(2, 8)},
    "PeakAugmentation": {"spectra": torch.rand(2, 5, 2)},
    "Compose": {"spectra": SPECTRA["ir"]},
    "Sometimes": {"spectra": SPECTRA["ir"]},
    "BroadenSticks": {"spectra": torch.rand(2, 5, 2)},
    "CenterOfMass": {"batch": BATCH.batch},
    "DegreeLinear": {"features": [torch.rand(2, 1, 4), torch.rand(2, 3, 4)]},
    "MaskedPatchLoss": {"predicted": PATCHES, "target": PATCHES, "masked": {"ir": torch.rand(2, 11) > 0.5}},
    "NoiseScaleLoss": {"predicted": torch.rand(2, 5), "target": torch.tensor([1, 2])},
    "SpectrumLoss": {"predicted": SPECTRA, "target": SPECTRA},
    "ForceEncoding": {"mask": torch.ones(8, dtype=torch.bool)},
    "VectorErrorLoss": {"mask": torch.ones(8, dtype=torch.bool)},
    "WeightedSum": {"losses": {"coord": torch.tensor(1.0)}},
}
# Arguments that a part takes for the sake of one call form, and does not look at.
IGNORED = {
    ("AtomHead", "data"),
    ("HookPoint", "input"),
    ("DropPeaks", "axis"),
    ("IsotopePeaks", "axis"),
    ("MassJitter", "axis"),
    ("NoisePeaks", "axis"),
    ("AtomicReferenceEnergies", "atoms"),
    ("DenoisingLoss", "batch"),
    ("ElementScale", "atoms"),
    ("ForceMatchingLoss", "batch"),
    ("ForceMatchingLoss", "num_molecules"),
    ("MaskedReconstruction", "encoder"),
    ("PositionDistributionHead", "data"),
    ("Regression", "generator"),
    ("SliDeLoss", "batch"),
    ("SliDeLoss", "generator"),
    ("SpectraRegression", "generator"),
    ("SpectrumPrediction", "generator"),
    ("VectorHead", "data"),
}
WRONG_IN_CALLS = {name: WRONG[name] for name in ("None", "a text", "a list", "an array", "a class", "a batch", "zero")}


def callables():
    """Return every public class whose objects are called, by its dotted name."""
    return {name: cls for name, cls in public_classes().items() if call_of(cls) is not None}


def call_of(cls):
    """Return the forward of a module, or the call of another class, or None."""
    if issubclass(cls, nn.Module):
        return cls.forward
    return cls.__call__ if "__call__" in {name for base in cls.__mro__[:-1] for name in vars(base)} else None


def valid_call(cls):
    """Return right arguments of a call."""
    special = next((CALLS[base.__name__] for base in cls.__mro__ if base.__name__ in CALLS), {})
    names = list(inspect.signature(call_of(cls)).parameters)[1:]
    found = {name: special.get(name, VALID.get(name)) for name in names}
    if "encoder" in found:
        found["encoder"] = ms.encoders.PaiNN(8, 1)
    return {name: value for name, value in found.items() if value is not None}


def is_molecules(annotation):
    """Return True if an annotation allows a batch of molecules."""
    return Data in (annotation, *get_args(annotation))


@pytest.mark.parametrize("name", callables())
def test_calls(name):
    cls = callables()[name]
    part = cls(**arguments_of(cls))
    if isinstance(part, nn.Module):
        part.eval()
    part(**valid_call(cls))
    complaints = []
    for argument, parameter in list(inspect.signature(call_of(cls)).parameters.items())[1:]:
        if argument == "axis" and issubclass(cls, ms.spectra.augment.PeakAugmentation):
            continue  # few of them look at it
        if (cls.__name__, argument) in IGNORED or parameter.annotation in (bool, int, int | None):
            continue
        for kind, value in WRONG_IN_CALLS.items():
            if kind == "a batch" and argument in ("batch", "data", "spectra") and is_molecules(parameter.annotation):
                continue
            try:
                part(**{**valid_call(cls), argument: value})
            except Exception as error:
                found = complaint(error, argument)
            else:
                found = None if value is None and "None" in str(parameter.annotation) else "accepted"
            if found:
                complaints.append(f"{argument} = {kind}: {found}")
    assert not complaints, "\n".join([f"{name}:", *complaints])


# Functions whose first argument may be nearly anything, which their own tests try, or that take no argument.
FREE = {
    "read_molecules",
    "molecule",
    "spectrum",
    "training",
    # They look for a file or a name, which is a ValueError or FileNotFoundError.
    "embed",
    "embed_molecules",
    "from_pretrained",
    "checkpoint_info",
}


def public_functions():
    """Return every function of every namespace that has a required argument, by its dotted name."""
    found = {}
    for namespace in (*NAMESPACES, "geometry.topology", "plots", "pretrained"):
        module = importlib.import_module(f"molspectra.{namespace}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) and name not in FREE and value not in found.values() and required(value):
                found[f"{namespace}.{name}"] = value
    return found


def required(function):
    """Return the names of the arguments without a default."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


@pytest.mark.parametrize("name", public_functions())
def test_functions(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function = public_functions()[name]
    names = required(function)
    parameter = inspect.signature(function).parameters[names[0]]
    complaints = []
    for kind, value in WRONG_IN_CALLS.items():
        if is_allowed(value, parameter.annotation) or (isinstance(value, Data) and is_molecules(parameter.annotation)):
            continue
        try:
            function(**dict.fromkeys(names, value))
        except Exception as error:
            # All arguments are wrong: the error names one of them.
            found = min((complaint(error, argument) or "" for argument in names), key=len)
        else:
            found = "accepted"
        if found:
            complaints.append(f"{kind}: {found}")
    assert not complaints, "\n".join([f"{name}:", *complaints])
