"""Encoders made of graph networks: the shipped suite, edges, and sizes."""

import functools

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GAT, GCN, GIN, PNA, GCNConv
from torch_geometric.utils import scatter

from molspectra import Configurable
from molspectra.data import MiniSpectra
from molspectra.encoders import GraphEncoder
from molspectra.geometry import radius_graph
from molspectra.methods.encoding import encode
from molspectra.pretrained import load, save
from molspectra.testing import EncoderSuite, random_molecules, without_shape_checks
from tests.encoders.adapters.models import assert_all_have_gradients


class TestGraphNetwork(EncoderSuite):
    shows_layers = can_be_saved = False

    def make_encoder(self):
        # Not GCN's own normalisation, which divides by √(1 + Σ w): that is smooth too, but this is the plainer test.
        return GraphEncoder(GCN(16, 16, num_layers=2, act="silu"), cutoff=4.0, edge_weight=True)


class TestGraphAttention(EncoderSuite):
    smooth_at_cutoff = False  # a softmax over neighbours counts one with features of 0 like any other
    shows_layers = can_be_saved = False

    def make_encoder(self):
        return GraphEncoder(GAT(16, 16, num_layers=2, act="silu", edge_dim=8), cutoff=4.0, num_rbf=8)


def PNA_of(channels, edge_dim):
    degrees = torch.tensor([1, 5, 9, 5, 2])
    return PNA(channels, channels, 2, aggregators=["mean", "std"], scalers=["identity"], deg=degrees, edge_dim=edge_dim)


@pytest.mark.usefixtures("float32_weights")
def test_no_parameter_of_a_graph_network_waits_for_a_gradient():
    assert_all_have_gradients(GraphEncoder(PNA_of(16, 8), cutoff=4.0, num_rbf=8))


class Summing(nn.Module):
    """A user's graph network; it tells its sizes."""

    in_channels, out_channels, cutoff = 8, 8, 3.0

    def forward(self, x, edge_index):
        return scatter(x[edge_index[0]], edge_index[1], dim=0, dim_size=len(x))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # read by the compiler
@pytest.mark.parametrize(
    ("make", "keywords"),
    [
        (Summing, {}),
        (lambda: GCNConv(8, 8), {"cutoff": 3.0}),
        (lambda: GCN(8, 8, 2), {"cutoff": 3.0}),
        (lambda: GCN(-1, 8, 2), {"cutoff": 3.0, "in_channels": 8}),
        (lambda: torch.compile(GCNConv(8, 8), backend="eager"), {"cutoff": 3.0}),
        (
            lambda: functools.partial(GCNConv(8, 8), edge_weight=None),
            {"cutoff": 3.0, "in_channels": 8, "out_channels": 8},
        ),
    ],
    ids=["told by all attributes", "layer", "model", "lazy model", "compiled layer", "partial of a layer"],
)
@pytest.mark.usefixtures("float32_weights")
def test_a_graph_network_reads_embedded_elements_and_edges(make, keywords):
    torch._dynamo.reset()
    torch.manual_seed(0)
    network, molecules = make(), random_molecules()
    encoder = GraphEncoder(network, **keywords)
    with without_shape_checks():
        actual = encoder(*molecules).scalars
        expected = network(encoder.embedding(molecules[0]), radius_graph(*molecules[1:], 3.0))
    torch.testing.assert_close(actual, expected)
    assert encoder.cutoff == 3.0


@pytest.mark.usefixtures("float32_weights")
def test_a_graph_network_of_bonds():
    class Neighbors(nn.Module):
        def forward(self, x, edge_index, batch):
            assert len(batch) == len(x)
            return scatter(x[edge_index[0]], edge_index[1], dim=0, dim_size=len(x))

    batch = Batch.from_data_list(MiniSpectra()[:2])
    encoder = GraphEncoder(Neighbors(), out_channels=8, in_channels=8, edges="bonds")
    actual = encode(encoder, batch).scalars
    embedded = encoder.embedding(batch.z)
    expected = torch.zeros_like(embedded)
    for i, j in batch.bond_index.t().tolist():
        expected[i] = expected[i] + embedded[j]
        expected[j] = expected[j] + embedded[i]
    torch.testing.assert_close(actual, expected)
    for others in (batch.bond_index.flip(0), batch.bond_index[:, :1]):  # in both directions, or one of them twice
        given = torch.cat([batch.bond_index, others], dim=1)
        again = encoder(batch.z, batch.pos, batch.batch, bond_index=given).scalars
        torch.testing.assert_close(again, expected)
    with pytest.raises(ValueError, match="needs bond_index"):
        encoder(batch.z, batch.pos, batch.batch)


@pytest.mark.compile
def test_a_graph_network_of_bonds_compiles():
    encoder = GraphEncoder(GCN(8, 8, 2), edges="bonds").eval()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for start in (0, 3):
        batch = Batch.from_data_list(MiniSpectra()[start : start + 2])
        with without_shape_checks():
            actual = compiled(batch.z, batch.pos, batch.batch, bond_index=batch.bond_index).scalars
        torch.testing.assert_close(actual, encode(encoder, batch).scalars)


class SavedNetwork(Configurable, Summing):
    """A graph network that records how it was built."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x, edge_index):
        return self.linear(super().forward(x, edge_index))


@pytest.mark.usefixtures("float32_weights")
def test_saving(tmp_path):
    encoder = GraphEncoder(SavedNetwork(), max_z=20).eval()
    save(encoder, tmp_path)
    molecules = random_molecules()
    loaded = load(tmp_path, [SavedNetwork])
    assert torch.equal(loaded(*molecules).scalars, encoder(*molecules).scalars)


def test_sizes_are_read_off_the_network():
    encoder = GraphEncoder(GCN(8, 16, 2, out_channels=4), cutoff=3.0)
    assert (encoder.out_channels, encoder.embedding.embedding_dim, encoder.max_z) == (4, 8, 100)


def with_cutoff(model, cutoff):
    model.cutoff = cutoff
    return model


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphEncoder(GCN(8, 8, 2)), "need a cutoff"),
        (lambda: GraphEncoder(GCN(8, 8, 2), cutoff=4.0, edges="knn"), 'edges must be "radius" or "bonds"'),
        (lambda: GraphEncoder(GIN(8, 8, 2), cutoff=4.0, num_rbf=4), "GIN takes no edge_attr"),
        (lambda: GraphEncoder(GAT(8, 8, 2), cutoff=4.0, edge_weight=True), "GAT takes no edge_weight"),
        (lambda: GraphEncoder(lambda x, edge_index: x, in_channels=8, cutoff=4.0), "out_channels must be a positive"),
        (lambda: GraphEncoder(lambda x, edge_index: x, 8, cutoff=4.0), "in_channels must be .*None.*pass in_channels="),
        (lambda: GraphEncoder(GCN(-1, 8, 2), cutoff=4.0), "in_channels must be .*got -1.*pass in_channels="),
        (lambda: GraphEncoder(GCN(8, 8, 2), cutoff=-1.0), "cutoff must be a positive number"),
        (
            lambda: GraphEncoder(with_cutoff(GCN(8, 8, 2), nn.Identity())),
            r"got Identity\(\). Pass another one as cutoff=",
        ),
        (lambda: GraphEncoder(GCN(8, 8, 2, cached=True), cutoff=4.0), "convs.0, a GCNConv, has cached=True"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
