"""Mistakes that users made: each is told the name, what is expected, what came, and the remedy."""

import functools

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Batch

import molspectra as ms

pytestmark = pytest.mark.usefixtures("no_shape_checks")

PAINN = ms.encoders.PaiNN(16, 1)
COORD = ms.methods.Coord(16)
BATCH = Batch.from_data_list(list(ms.data.MiniSpectra()[:2]))
SPECFORMER = ms.spectra.SpecFormer({"ir": 3501}, 500, 500, 16, num_layers=1, num_heads=2, out_channels=16)
REGRESSION = ms.methods.Regression(ms.heads.ScalarHead(16), label="gap")
ROWS = np.zeros((2, 16), dtype=np.float32)

MISTAKES = {
    "no encoder": (lambda: COORD(None, BATCH), "encoder of Coord must be an encoder.* got None. Check the order"),
    "encoder class": (lambda: COORD(ms.encoders.PaiNN, BATCH), r"got the class PaiNN. Pass an object: PaiNN\(…\)"),
    "batch as encoder": (lambda: COORD(BATCH, PAINN), "Coord needs molecules as a torch_geometric Data or Batch"),
    "head as encoder": (lambda: COORD(ms.heads.ScalarHead(16), BATCH), "got a ScalarHead, a head, called with"),
    "molecules alone to an encoder": (lambda: PAINN(BATCH), r"PaiNN needs z and pos; got a DataBatch. Call encoder\("),
    "molecules alone to a method": (lambda: COORD(BATCH), r"Coord needs encoder and batch; got a DataBatch. Call meth"),
    "seed for a generator": (
        lambda: COORD(PAINN, BATCH, generator=0),
        "generator must be a torch.Generator or None",
    ),
    "seed for a noise": (lambda: ms.noise.CoordNoise()(BATCH, 0), "generator must be a torch.Generator or None; got 0"),
    "size as float": (lambda: ms.encoders.PaiNN(16.0), "hidden_channels of PaiNN must be an int; got 16.0. Write 16"),
    "number as text": (
        lambda: ms.encoders.PaiNN(cutoff="5"),
        "cutoff of PaiNN must be a number; got '5'. Write",
    ),
    "noise of text": (lambda: ms.noise.CoordNoise("a"), "std of CoordNoise must be a number or a list; got 'a'"),
    "layers of text": (
        lambda: ms.embed(PAINN, ["O"], layers="foo"),
        "layers must be whole numbers, .all. or None; got",
    ),
    "methods in a list": (lambda: ms.methods.Combined([COORD]), 'methods of Combined must be a dict, as in .*"coord"'),
    "mask as tensor": (lambda: SPECFORMER(BATCH, torch.ones(2, 3501) > 0), "masked must be a dict from kinds of spect"),
    "mask as array": (
        lambda: SPECFORMER(BATCH, {"ir": np.ones((2, 3501)) > 0}),
        r"masked\['ir'\] must be a tensor",
    ),
    "arrays in a contrast": (lambda: ms.objectives.InfoNCELoss()(ROWS, ROWS), "z_a must be a tensor; got ndarray"),
    "arrays in a mask": (
        lambda: ms.spectra.PatchMask(SPECFORMER.patchers)({"ir": np.zeros((2, 3501))}),
        r"spectra\['ir'\] must be a tensor; got ndarray",
    ),
    "arrays in a loss": (lambda: ms.objectives.DenoisingLoss()(ROWS, ROWS), "predicted must be a tensor; got ndarray"),
    "array in a head": (
        lambda: ms.heads.ScalarHead(16)(ROWS, BATCH),
        "atoms of ScalarHead must be AtomFeatures.*array",
    ),
    "tensor in a head": (
        lambda: ms.heads.ScalarHead(16)(torch.zeros(2, 16), BATCH),
        "atoms of ScalarHead must be AtomFeatures, as encoders return them; got a Tensor. Call head",
    ),
    "axis by name": (
        lambda: ms.plots.spectrum(torch.zeros(3501), "ir"),
        "axis of spectrum must be a SpectrumAxis, a dict or None, as in molspectra.data.IR; got 'ir'",
    ),
    "head in a calculator": (
        lambda: ms.ase_calculator(PAINN, ms.heads.ScalarHead(16)),
        "regression must be a methods.Regression of energies; got a ScalarHead",
    ),
    "swapped in a calculator": (
        lambda: ms.ase_calculator(REGRESSION, PAINN),
        "The model must be an encoder .* got a Regression. Pass the encoder",
    ),
    "swapped in a training module": (
        lambda: ms.methods.TrainingModule(COORD, PAINN),
        "encoder of TrainingModule must be an encoder.* got a Coord, a method",
    ),
    "swapped in MolSpectra": (
        lambda: ms.methods.MolSpectra(SPECFORMER, COORD),
        "task of MolSpectra must be a pretext task.* got a SpecFormer, a spectrum encoder",
    ),
    "swapped in noisy nodes": (
        lambda: ms.methods.NoisyNodes(ms.heads.ScalarHead(16), COORD),
        "task of NoisyNodes must be a pretext task.* got a ScalarHead, a head",
    ),
    "encoder as head": (
        lambda: ms.methods.Regression(PAINN),
        "head of Regression must be a head.* got a PaiNN, an",
    ),
    "missing argument": (
        lambda: ms.methods.Coord(),
        r"Coord: missing a required argument: 'channels'. Its arguments",
    ),
    "unknown argument": (
        lambda: ms.encoders.PaiNN(hidden=16),
        r"PaiNN: got an unexpected keyword argument 'hidden'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_explained(mistake):
    call, text = MISTAKES[mistake]
    with pytest.raises((TypeError, ValueError), match=text):
        call()


@pytest.mark.parametrize("name", ["EGNN", "EquivariantTransformer", "GET", "IrrepsTransformer", "PaiNN"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_or_is_explained(name, dtype):
    encoder = getattr(ms.encoders, name)(16, 1).to(dtype)
    head = ms.heads.ScalarHead(16).to(dtype)
    z, pos = torch.tensor([8, 1, 1]), torch.randn(3, 3)
    with pytest.raises(TypeError, match=rf"pos must be {dtype}, as the weights are.*under torch.autocast"):
        encoder(z, pos)
    atoms = encoder(z, pos.to(dtype))
    assert atoms.scalars.dtype == dtype
    assert head(atoms).isfinite().all()


@pytest.mark.parametrize(
    "encoder",
    [AveragedModel(PAINN), functools.partial(PAINN), lambda z, pos, batch: PAINN(z, pos, batch), PAINN.forward],
    ids=["AveragedModel", "partial", "lambda", "method"],
)
def test_any_callable_is_an_encoder(encoder):
    assert COORD(encoder, BATCH)["loss"].isfinite()
    assert REGRESSION(encoder, BATCH)["loss"].isfinite()
    training = ms.methods.TrainingModule(encoder, COORD)
    assert training(BATCH)["loss"].isfinite()


def test_heads_and_objectives_may_be_functions():
    method = ms.methods.Denoising(
        lambda data, generator: ms.noise.CoordNoise()(data, generator),
        lambda atoms, data: atoms.vectors.mean(dim=-1),
        lambda predicted, target: (predicted - target).square().mean(),
    )
    assert method(PAINN, BATCH)["loss"].isfinite()


def test_numbers_of_numpy_and_torch_are_numbers():
    encoder = ms.encoders.PaiNN(np.int64(8), torch.tensor(1), cutoff=np.float32(4.5))
    assert encoder.config["cutoff"] == 4.5
    assert type(encoder.config["hidden_channels"]) is int


def test_samplers_show_their_settings():
    sampler = ms.data.AtomBudgetSampler([3, 4], max_atoms=7)
    assert repr(sampler).startswith("AtomBudgetSampler(num_molecules=2, max_atoms=7, shuffle=True, seed=0")


def test_every_namespace_lists_its_names():
    assert set(dir(ms.geometry.topology)) == set(ms.geometry.topology.__all__) >= {"angles", "torsions"}
