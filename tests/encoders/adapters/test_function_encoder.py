"""Encoders made of callables: the shipped suite, what they may return, and what they are given."""

import copy
import functools

import numpy as np
import pytest
import torch
from e3nn import o3
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GCN
from torch_geometric.utils import scatter

from molspectra.data import MiniSpectra
from molspectra.encoders import AtomFeatures, EquivariantTransformer, FunctionEncoder
from molspectra.methods.encoding import encode
from molspectra.pretrained import load, save
from molspectra.testing import EncoderSuite, random_molecules


class Gaussians(nn.Module):
    """A user's model: scalars and vectors from sums over all pairs of a molecule."""

    def __init__(self, channels):
        super().__init__()
        self.embedding = nn.Embedding(119, channels)
        self.cutoff, self.out_channels = 6.0, channels

    def forward(self, z, pos, batch, context=None):
        embedded = self.embedding(z) if context is None else self.embedding(z) + context
        difference = pos.unsqueeze(0) - pos.unsqueeze(1)
        weight = torch.exp(-difference.square().sum(-1)) * (batch.unsqueeze(0) == batch.unsqueeze(1))
        # Of two operands: the path through three is found for sizes that are fixed, which compiles each size anew.
        weighted = weight.to(pos.dtype).unsqueeze(2) * difference
        vectors = torch.einsum("ijx,jf->ixf", weighted, embedded.to(pos.dtype))
        return weight.to(embedded.dtype) @ embedded, vectors


class TestUsersModel(EncoderSuite):
    shows_layers = can_be_saved = False

    def make_encoder(self):
        return FunctionEncoder(Gaussians(16))


def apply_model(model, z, pos, batch):
    return model(z, pos, batch)


@pytest.mark.parametrize(
    "of",
    [
        lambda model: model.forward,
        lambda model: functools.partial(model, context=None),
        lambda model: functools.partial(model.forward, context=None),
        lambda model: functools.partial(apply_model, model),
    ],
    ids=["bound method", "partial of a module", "partial of a bound method", "partial with a module"],
)
@pytest.mark.usefixtures("float32_weights")
def test_the_module_behind_a_callable_is_part_of_the_adapter(of):
    model = Gaussians(16)
    encoder = FunctionEncoder(of(model), out_channels=16)
    assert [id(parameter) for parameter in encoder.parameters()] == [id(model.embedding.weight)]
    other = copy.deepcopy(encoder).double()
    other(*random_molecules(dtype=torch.float64)).scalars.sum().backward()
    assert next(other.parameters()).grad is not None
    assert model.embedding.weight.dtype == torch.float32


@pytest.mark.parametrize("returns", ["scalars", "pair", "features"])
def test_what_a_callable_may_return(returns):
    def model(z, pos, batch):
        scalars = pos.norm(dim=1, keepdim=True).expand(-1, 4)
        vectors = pos.unsqueeze(2).expand(-1, 3, 4)
        degree_2 = o3.spherical_harmonics(2, pos, normalize=False).unsqueeze(2).expand(-1, 5, 4)
        choices = {"scalars": scalars, "pair": (scalars, vectors)}
        return choices.get(returns, AtomFeatures(scalars, vectors, (degree_2,)))

    encoder = FunctionEncoder(model, out_channels=4)
    atoms = encoder(*random_molecules())
    assert atoms.l_max == {"scalars": 0, "pair": 1, "features": 2}[returns]
    assert (encoder.out_channels, encoder.cutoff) == (4, float("inf"))


@pytest.mark.usefixtures("float32_weights")
def test_an_encoder_of_ours_gives_the_same_inside():
    encoder = EquivariantTransformer(16, num_layers=2, num_heads=4)
    molecules = random_molecules()
    context = torch.randn(len(molecules[0]), 16)
    adapter = FunctionEncoder(encoder)
    assert torch.equal(adapter(*molecules, context=context).scalars, encoder(*molecules, context=context).scalars)
    assert (adapter.out_channels, adapter.cutoff, adapter.max_z) == (16, 5.0, 100)


def test_bonds_reach_a_callable_that_takes_them():
    seen = {}

    def model(z, pos, batch, bond_index=None, **others):
        seen.update(bond_index=bond_index, **others)
        return pos

    batch = Batch.from_data_list(MiniSpectra()[:2])
    encode(FunctionEncoder(model, out_channels=3), batch)
    assert torch.equal(seen["bond_index"], batch.bond_index)
    assert torch.equal(seen["bond_order"], batch.bond_order)


@pytest.mark.usefixtures("no_shape_checks")
def test_numbers_of_numpy():
    encoder = FunctionEncoder(model_of_atoms, np.int64(3), np.float32(4.0))
    assert (encoder.out_channels, encoder.cutoff) == (3, 4.0)
    assert encoder(*random_molecules()).scalars.shape == (14, 3)


def test_a_callable_without_a_cutoff():
    model = Gaussians(16)
    model.cutoff = None
    assert FunctionEncoder(model).cutoff == float("inf")


@pytest.mark.usefixtures("float32_weights")
def test_saving(tmp_path):
    encoder = FunctionEncoder(EquivariantTransformer(16, num_layers=1, num_heads=4), max_z=20).eval()
    save(encoder, tmp_path)
    molecules = random_molecules()
    assert torch.equal(load(tmp_path)(*molecules).scalars, encoder(*molecules).scalars)


def model_of_atoms(z, pos, batch):
    return pos


def model_of_molecules(z, pos, batch):
    return scatter(pos, batch, dim=0)


@pytest.mark.usefixtures("no_shape_checks")
def test_what_a_model_cannot_do_is_refused():
    molecules = random_molecules()
    context = torch.zeros(len(molecules[0]), 3)
    with pytest.raises(ValueError, match="model_of_molecules does not take `context`"):
        FunctionEncoder(model_of_molecules, 3)(*molecules, context=context)
    with pytest.raises(ValueError, match=r"features of 14 atoms.*got \[\(3, 3\)\]"):
        FunctionEncoder(model_of_molecules, 3)(*molecules)
    for returned, message in (
        ({}, "got a dict"),
        ((molecules[1], 3), "got a tuple of Tensor, int"),
        ((None, None), "got a tuple of NoneType, NoneType"),
        (tuple([molecules[1]] * 3), "got a tuple of Tensor, Tensor, Tensor"),
        (AtomFeatures(3), "got a AtomFeatures"),
    ):
        with pytest.raises(TypeError, match=message):
            FunctionEncoder(lambda z, pos, batch, returned=returned: returned, 3)(*molecules)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FunctionEncoder(model_of_molecules), "out_channels must be a positive int; got None"),
        (lambda: FunctionEncoder(model_of_molecules, 0), "out_channels must be (at least 1|a positive int); got 0"),
        (lambda: FunctionEncoder(model_of_molecules, 3, cutoff=0), "cutoff must be a positive number"),
        (lambda: FunctionEncoder(functools.partial(apply_model, GCN(8, 8, 2, cached=True)), 8), "cached=False"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.usefixtures("no_shape_checks")
def test_a_size_is_an_int():
    with pytest.raises(TypeError, match="out_channels of FunctionEncoder must be an int or None; got 3.0. Write 3."):
        FunctionEncoder(model_of_molecules, 3.0)
