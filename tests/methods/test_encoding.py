"""Calls of encoders with the arguments of their signatures."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import molspectra as ms
from molspectra._signature import takes
from molspectra.methods.encoding import encode


class Recorder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def record(self, z, **given):
        self.given = given
        return ms.encoders.AtomFeatures(self.weight * z.unsqueeze(1))


class Plain(Recorder):
    def forward(self, z, pos, batch=None):
        return self.record(z)


class WithBonds(Recorder):
    def forward(self, z, pos, batch=None, *, bond_index=None):
        return self.record(z, bond_index=bond_index)


class TakesAnything(Recorder):
    def forward(self, z, pos, batch=None, **given):
        return self.record(z, **given)


@pytest.fixture
def batch():
    return Batch.from_data_list(list(ms.data.MiniSpectra()[:3]))


def test_only_arguments_of_the_signature_are_passed(batch):
    for make, expected in ((Plain, set()), (WithBonds, {"bond_index"}), (TakesAnything, {"bond_index", "bond_order"})):
        encoder = make()
        encode(encoder, batch)
        assert set(encoder.given) == expected
    encode(lambda z, pos, batch: ms.encoders.AtomFeatures(pos), batch)


def test_wrappers_have_the_signature_of_the_wrapped_module(batch):
    for encoder in (Plain(), WithBonds()):
        encode(nn.DataParallel(encoder), batch)
    assert torch.equal(encoder.given["bond_index"], batch.bond_index)


def test_compiled_encoders_have_the_signature_of_the_original(batch):
    for encoder, expected in ((Plain(), None), (WithBonds(), batch.bond_index)):
        compiled = torch.compile(encoder, backend="eager")
        compiled.forward = encoder.forward  # inspection needs no compilation
        encode(compiled, batch)
        assert encoder.given.get("bond_index") is expected


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated
def test_traced_encoders_get_required_arguments_only(batch):
    class Traceable(nn.Module):
        def forward(self, z, pos, batch):
            return pos * z.unsqueeze(1)

    traced = torch.jit.trace(Traceable(), (batch.z, batch.pos, batch.batch))
    assert takes(traced, "context") is False


def test_an_attribute_called_module_does_not_hide_the_signature(batch):
    encoder = WithBonds()
    encoder.module = nn.Identity()
    encode(encoder, batch)
    assert encoder.given["bond_index"] is not None


def test_molecules_without_bonds(batch):
    del batch.bond_index
    encoder = TakesAnything()
    encode(encoder, batch)
    assert set(encoder.given) == {"bond_order"}


def test_context_is_passed_or_refused(batch):
    context = torch.zeros(batch.num_nodes, 1)
    encoder = TakesAnything()
    encode(encoder, batch, context=context)
    assert encoder.given["context"] is context
    with pytest.raises(ValueError, match=r"Plain does not take `context`.*another method"):
        encode(Plain(), batch, context=context)
