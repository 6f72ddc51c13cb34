"""The encoder that fits a model from elsewhere, and arguments that belong to another one."""

import functools

import pytest
from torch import nn
from torch_geometric.nn import GCN
from torch_geometric.nn.models import DimeNet
from torch_geometric.utils import scatter

from molspectra.encoders import Adapter, FunctionEncoder, GraphEncoder, PyGEncoder
from tests.encoders.adapters.models import dimenet, schnet, visnet


def model_of_molecules(z, pos, batch):
    return scatter(pos, batch, dim=0)


class Network(nn.Module):
    """A graph network of a user, which does not tell its sizes."""

    def forward(self, x, edge_index):
        return x


class ModelOfEdges(nn.Module):
    """A model that reads edges beside positions: a callable."""

    def forward(self, z, pos, batch, edge_index=None):
        return pos


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Adapter(schnet()), PyGEncoder),
        (lambda: Adapter(dimenet()), PyGEncoder),
        (lambda: Adapter(visnet()), PyGEncoder),
        (lambda: Adapter(GCN(8, 8, 2), cutoff=3.0), GraphEncoder),
        (lambda: Adapter(Network(), 8, 3.0, in_channels=8), GraphEncoder),
        (lambda: Adapter(functools.partial(Network()), 8, 3.0, in_channels=8), GraphEncoder),
        (lambda: Adapter(lambda *arguments: arguments[0], 8, 3.0, in_channels=8), GraphEncoder),
        (lambda: Adapter(model_of_molecules, 3), FunctionEncoder),
        (lambda: Adapter(ModelOfEdges(), 3), FunctionEncoder),
    ],
    ids=[
        "SchNet",
        "DimeNet++",
        "ViSNet",
        "GCN",
        "graph network",
        "partial of a graph network",
        "any arguments",
        "function",
        "function with edges",
    ],
)
def test_the_encoder_that_fits(make, expected):
    assert type(make()) is expected


def test_arguments_reach_the_encoder():
    graph = Adapter(GCN(8, 16, 2, out_channels=4), cutoff=3.0, edges="bonds", max_z=50, num_rbf=None, edge_weight=True)
    assert (graph.out_channels, graph.cutoff, graph.max_z, graph.needs_bonds) == (4, 3.0, 50, True)
    assert graph.envelope.cutoff == 3.0
    assert Adapter(GCN(8, 8, 2), cutoff=3.0).max_z == 100
    function = Adapter(model_of_molecules, 3, 2.0, max_z=9)
    assert (function.out_channels, function.cutoff, function.max_z) == (3, 2.0, 9)
    assert Adapter(model_of_molecules, 3).max_z == 118


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adapter(schnet(), out_channels=16), "out_channels must be left out.*SchNet tells its sizes"),
        (lambda: Adapter(schnet(), edges="bonds"), "edges must be left out"),
        (lambda: Adapter(model_of_molecules), "out_channels must be a positive int; got None"),
        (lambda: Adapter(model_of_molecules, 3, num_rbf=4), "num_rbf must be left out.*in_channels= tells"),
        (lambda: Adapter(GCN(8, 8, 2)), "need a cutoff"),
        (lambda: Adapter(lambda x, edge_index: x, 8, cutoff=4.0), "in_channels must be .*got None.*pass in_channels="),
        (lambda: Adapter(DimeNet(8, 1, 1, 2, 2, 1)), "DimeNet, which is not read. Use PyG's DimeNetPlusPlus"),
    ],
)
def test_arguments_of_another_encoder_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
