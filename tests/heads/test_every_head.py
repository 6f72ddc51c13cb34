"""What holds for every head: a batch is its molecules one by one, in either precision, under autocast and saved."""

import inspect

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import assert_close

F = 8
HEADS = {
    "VectorHead": ms.heads.VectorHead(F),
    "ScalarHead, sum": ms.heads.ScalarHead(F, mean=1.0, std=2.0),
    "ScalarHead, mean": ms.heads.ScalarHead(F, reduce="mean"),
    "ScalarHead, references": ms.heads.ScalarHead(F, references=ms.heads.AtomicReferenceEnergies([6], [-1.0])),
    "DipoleHead": ms.heads.DipoleHead(F),
    "DipoleHead, vector": ms.heads.DipoleHead(F, magnitude=False),
    "SpatialExtentHead": ms.heads.SpatialExtentHead(F),
    "MoleculePooling": ms.heads.MoleculePooling(F),
    "EnergyHead": ms.heads.EnergyHead(F),
    "GradientHead": ms.heads.GradientHead(channels=F),
    "PositionDistributionHead": ms.heads.PositionDistributionHead(F, num_polar=6),
    "SpectrumHead": ms.heads.SpectrumHead(F, {"ir": 40}),
    "FusionHead": ms.heads.FusionHead(F, 3),
    "AtomicReferenceEnergies": ms.heads.AtomicReferenceEnergies([6], [-1.0]),
}
PROPERTY_HEADS = ms.heads.ScalarHead | ms.heads.DipoleHead | ms.heads.SpatialExtentHead
SIZES = (4, 1, 6)
every_head = pytest.mark.parametrize("name", HEADS)


def molecules(dtype):
    """Return smooth features of positions, as an encoder would give, and the molecules they belong to."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(sum(SIZES), 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    mix = torch.randn(3, F, generator=generator, dtype=torch.float64).to(dtype)
    scalars, vectors = torch.sin(pos @ mix), pos.unsqueeze(2) * torch.cos(pos @ mix).unsqueeze(1)
    embedding = torch.randn(len(SIZES), 3, generator=generator, dtype=torch.float64).to(dtype)
    batch = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    z = torch.full((sum(SIZES),), 6)
    return AtomFeatures(scalars, vectors), Data(z=z, pos=pos, batch=batch, spectrum_embedding=embedding)


def call(head, atoms, data):
    """Return the prediction of any head as one tensor."""
    predicted = head(atoms, data)
    if isinstance(predicted, dict):
        return torch.cat(list(predicted.values()), dim=1)
    return predicted.direction if isinstance(head, ms.heads.PositionDistributionHead) else predicted


def call_form(function):
    """Return the names of the parameters of a method, without self, and which of them have defaults."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return [(parameter.name, parameter.default is not parameter.empty) for parameter in parameters]


def classes(module):
    """Return the public classes of a module that are torch modules."""
    public = (getattr(module, name) for name in module.__all__)
    return [cls for cls in public if inspect.isclass(cls) and issubclass(cls, nn.Module)]


def test_heads_have_one_call_form():
    forms = {cls.__name__: call_form(cls.forward) for cls in classes(ms.heads)}
    assert {tuple(name for name, _ in form) for form in forms.values()} == {("atoms", "data")}, forms
    # Heads that need the molecules require data, and the others accept its absence.
    assert {form[0][1] for form in forms.values()} == {False}
    assert set(forms) == {type(head).__name__ for head in HEADS.values()}, "a head without a test"


def test_methods_have_one_call_form():
    # Parts of methods that are modules, but no methods themselves.
    parts = {"MaskedAtomEmbedding", "NoiseScaleClassifier", "TrainingModule"}
    forms = {cls.__name__: call_form(cls.forward) for cls in classes(ms.methods) if cls.__name__ not in parts}
    assert len(forms) >= 10
    expected = [("encoder", False), ("batch", False), ("generator", True)]
    assert {name: form for name, form in forms.items() if form != expected} == {}


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_is_its_molecules_one_by_one(name, dtype):
    head = HEADS[name].to(dtype)
    atoms, data = molecules(dtype)
    together = call(head, atoms, data)
    totals = "eference" in name  # total energies are never rounded
    assert together.dtype == (torch.float64 if totals else dtype)
    rows = []
    for molecule in range(len(SIZES)):
        of_molecule = (data.batch == molecule).nonzero()[:, 0]
        # A gradient is by the positions that the features have come from; of others it is 0.
        by_all = isinstance(head, ms.heads.GradientHead)
        own = Data(z=data.z[of_molecule], pos=data.pos if by_all else data.pos[of_molecule])
        own.spectrum_embedding = data.spectrum_embedding[molecule : molecule + 1]
        alone = call(head, atoms.select(of_molecule), own)
        rows.append(alone[of_molecule] if by_all else alone)
    assert_close(together, torch.cat(rows), 1e-5 if dtype == torch.float32 else 1e-12, name)


@every_head
def test_autocast(name):
    head = HEADS[name].float()
    atoms, data = molecules(torch.float32)
    exact = call(head, atoms, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = call(head, atoms, data)
    assert_close(predicted.float(), exact, 0.05, name)
    if isinstance(head, PROPERTY_HEADS | ms.heads.EnergyHead | ms.heads.GradientHead | ms.heads.VectorHead):
        assert predicted.dtype in (torch.float32, torch.float64)


@every_head
def test_saved_and_loaded(name, tmp_path):
    head = HEADS[name].float()
    ms.pretrained.save(head, tmp_path)
    features = molecules(torch.float32)
    torch.testing.assert_close(call(ms.pretrained.load(tmp_path), *features), call(head, *features))
