"""Adapter: the shipped suite around PyG's models, graph networks and callables, and parity with the models."""

import copy
import functools
import inspect

import numpy as np
import pytest
import torch
from e3nn import o3
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import GAT, GCN, GIN, PNA, GCNConv
from torch_geometric.nn.models import DimeNet, DimeNetPlusPlus, SchNet, ViSNet
from torch_geometric.nn.models.schnet import RadiusInteractionGraph
from torch_geometric.utils import scatter

from molspectra.data import MiniSpectra
from molspectra.encoders import AtomFeatures, EquivariantTransformer
from molspectra.encoders.adapters.adapter import Adapter
from molspectra.encoders.adapters.pyg import _edge_pairs
from molspectra.geometry import radius_graph
from molspectra.heads import VectorHead
from molspectra.methods import Coord
from molspectra.methods.encoding import encode
from molspectra.pretrained import load, save
from molspectra.testing import EncoderSuite, by_degree, random_molecules, without_shape_checks


def schnet(**changes):
    return SchNet(**{"hidden_channels": 16, "num_filters": 16, "num_interactions": 2, "num_gaussians": 8, **changes})


@functools.cache
def new_dimenet(**changes):
    sizes = {"hidden_channels": 16, "out_channels": 1, "num_blocks": 2, "int_emb_size": 8, "basis_emb_size": 4}
    return DimeNetPlusPlus(**{**sizes, "out_emb_channels": 16, "num_spherical": 4, "num_radial": 3, **changes})


def dimenet(**changes):
    model = copy.deepcopy(new_dimenet(**changes))  # its basis is derived by computer algebra, which takes seconds
    model.reset_parameters()
    return model


def visnet(**changes):
    return ViSNet(**{"hidden_channels": 16, "num_layers": 3, "num_heads": 4, "num_rbf": 8, **changes})


@pytest.fixture(autouse=True)
def forget_compiled_code(request):
    """Every adapter compiles the same method, and the compiler gives up on one that has seen many models."""
    if request.node.get_closest_marker("compile"):
        torch._dynamo.reset()


def as_trained(model):
    """With biases that are not 0, as those of a new model are."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model


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


class TestSchNet(EncoderSuite):
    can_be_saved = False  # PyG's models do not record how they were built

    def make_encoder(self):
        return Adapter(as_trained(schnet(cutoff=5.0)))


class TestDimeNetPlusPlus(EncoderSuite):
    can_be_saved = False

    def make_encoder(self):
        return Adapter(as_trained(dimenet()))


def without_gradient_in_visnet(*names):
    """In its first layer, ahead of which vectors are 0."""
    names = ("vec_proj.weight", "f_proj.weight", "f_proj.bias", "w_src_proj.weight", "w_trg_proj.weight", *names)
    return frozenset(f"features.model.vis_mp_layers.0.{name}" for name in names)


class TestViSNet(EncoderSuite):
    parameters_without_gradient = without_gradient_in_visnet()
    smooth_at_cutoff = False  # a message that the cutoff has brought to 0 passes through a layer with a bias
    can_be_saved = False

    def make_encoder(self):
        return Adapter(as_trained(visnet()))


class TestViSNetOfDegree2(EncoderSuite):
    parameters_without_gradient = without_gradient_in_visnet("t_src_proj.weight", "t_trg_proj.weight")
    smooth_at_cutoff = False  # as above
    can_be_saved = False

    def make_encoder(self):
        return Adapter(as_trained(visnet(lmax=2, vertex=True)))


class TestUsersModel(EncoderSuite):
    shows_layers = can_be_saved = False

    def make_encoder(self):
        return Adapter(Gaussians(16))


class TestGraphNetwork(EncoderSuite):
    shows_layers = can_be_saved = False

    def make_encoder(self):
        # Not GCN's own normalisation, which divides by √(1 + Σ w): that is smooth too, but this is the plainer test.
        return Adapter(GCN(16, 16, num_layers=2, act="silu"), cutoff=4.0, edge_weight=True)


class TestGraphAttention(EncoderSuite):
    smooth_at_cutoff = False  # a softmax over neighbours counts one with features of 0 like any other
    shows_layers = can_be_saved = False

    def make_encoder(self):
        return Adapter(GAT(16, 16, num_layers=2, act="silu", edge_dim=8), cutoff=4.0, num_rbf=8)


def molecule_energies_of_schnet(model, atoms, batch):
    return scatter(model.lin2(model.act(model.lin1(atoms.scalars))), batch, dim=0)


def explicit_graph(cutoff):
    """Pairs by a double loop over atoms."""

    def interaction_graph(pos, batch):
        n = len(pos)
        pairs = [
            (j, i)
            for i in range(n)
            for j in range(n)
            if i != j and batch[i] == batch[j] and (pos[i] - pos[j]).norm() < cutoff
        ]
        source, target = torch.tensor(pairs).reshape(-1, 2).t()
        return torch.stack([source, target]), (pos[source] - pos[target]).norm(dim=1)

    return interaction_graph


def test_schnet_with_its_output_layers_is_schnet():
    z, pos, batch = random_molecules((7, 5, 1), torch.float64)
    model = as_trained(schnet(cutoff=3.0, interaction_graph=explicit_graph(3.0))).double()
    plain = as_trained(schnet(cutoff=3.0)).double()
    plain.load_state_dict(model.state_dict())
    expected = model(z, pos, batch)
    for wrapped in (plain, model):  # with our edges, and with its own
        actual = molecule_energies_of_schnet(plain, Adapter(wrapped)(z, pos, batch), batch)
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


class OwnGraph(RadiusInteractionGraph):
    """A user's, of pairs that PyG's would not connect."""

    def forward(self, pos, batch):
        return explicit_graph(2 * self.cutoff)(pos, batch)


@pytest.mark.parametrize(("graph", "reach"), [(RadiusInteractionGraph(2.0), 2.0), (OwnGraph(2.0), 4.0)])
def test_schnet_keeps_the_interaction_graph_that_it_was_given(graph, reach):
    molecules = random_molecules((7, 5, 1))
    model = schnet(cutoff=5.0, interaction_graph=graph)
    expected = schnet(cutoff=5.0, interaction_graph=explicit_graph(reach))
    expected.load_state_dict(model.state_dict())
    encoder = Adapter(model)
    energies = molecule_energies_of_schnet(model, encoder(*molecules), molecules[2])
    torch.testing.assert_close(energies, expected(*molecules))
    assert encoder.cutoff == 2.0


@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("vecnorm_type", [None, "max_min"])
def test_visnet_with_its_output_layers_is_visnet(lmax, vecnorm_type):
    z, pos, batch = random_molecules((7, 5, 3), torch.float64)
    model = as_trained(visnet(lmax=lmax, vecnorm_type=vecnorm_type, vertex=lmax == 2, cutoff=3.0)).double()
    graph = explicit_graph(3.0)

    class Distance(nn.Module):
        def forward(self, pos, batch):
            edge_index, length = graph(pos, batch)
            loops = torch.arange(len(pos)).expand(2, -1)
            edge_index = torch.cat([edge_index, loops], dim=1)
            vectors = pos[edge_index[0]] - pos[edge_index[1]]
            return edge_index, torch.cat([length, length.new_zeros(len(pos))]), vectors

    atoms = Adapter(model)(z, pos, batch)
    model.representation_model.distance = Distance()
    features = torch.cat([atoms.vectors, *atoms.tensors], dim=1)
    energies = scatter(model.output_model.pre_reduce(atoms.scalars, features), batch, dim=0)
    torch.testing.assert_close(energies, model(z, pos, batch)[0], rtol=1e-10, atol=1e-10)
    scalars, expected = model.representation_model(z, pos, batch)
    torch.testing.assert_close(atoms.scalars, scalars, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-10)


def explicit_triplets(edge_index):
    """(k → j, j → i) with k ≠ i, by a double loop over edges."""
    edges = edge_index.t().tolist()
    pairs = [
        (inner, outer)
        for outer, (j, i) in enumerate(edges)
        for inner, (k, end) in enumerate(edges)
        if end == j and k != i
    ]
    return torch.tensor(pairs).reshape(-1, 2).t()


@pytest.mark.parametrize("sizes", [(5, 1, 8), (1,), (2, 1)])
def test_pairs_of_edges(sizes):
    _, pos, batch = random_molecules(sizes)
    edge_index = radius_graph(pos, batch, 2.5)
    pairs = _edge_pairs(edge_index, len(pos))
    assert sorted(pairs.t().tolist()) == sorted(explicit_triplets(edge_index).t().tolist())


def test_dimenet_with_its_last_layers_is_dimenet(monkeypatch):
    """Against PyG's own forward, given the edges and triplets that it needs compiled packages for."""
    z, pos, batch = random_molecules((7, 5, 1, 2), torch.float64)
    pos = (1.5 * pos).requires_grad_()
    model = as_trained(dimenet(output_initializer="glorot_orthogonal", cutoff=4.0)).double()
    for block in model.output_blocks[1:]:  # with one last layer in common it acts on the sum of the atom embeddings
        block.lin = model.output_blocks[0].lin
    adapter = Adapter(model)

    def triplets(edge_index, num_nodes):
        kj, ji = explicit_triplets(edge_index)
        source, target = edge_index
        return target, source, target[ji], source[ji], source[kj], kj, ji

    own = inspect.getmodule(DimeNetPlusPlus)
    monkeypatch.setattr(own, "radius_graph", lambda pos, r, batch, max_num_neighbors: explicit_graph(r)(pos, batch)[0])
    monkeypatch.setattr(own, "triplets", triplets)
    expected = model(z, pos, batch)
    actual = scatter(model.output_blocks[0].lin(adapter(z, pos, batch).scalars), batch, dim=0)
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)
    gradients = [torch.autograd.grad(energies.sum(), pos)[0] for energies in (actual, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-6)


def test_dimenets_bases_keep_their_digits_in_single_precision():
    """At the published highest degree: PyG's own loses many of them to cancellation."""
    model = dimenet(num_spherical=7, num_radial=1)
    basis = model.sbf
    distance, angle = torch.linspace(0.8, 4.9, 50), torch.linspace(0.1, 3.0, 50)
    edges = torch.arange(50)
    exact = basis(distance.double(), angle.double(), edges)
    ours = Adapter(model).features.spherical_basis(distance, angle.cos(), edges)
    scale = exact.abs().amax(dim=0)
    error, error_of_pyg = (((b - exact).abs() / scale).max() for b in (ours, basis(distance, angle, edges)))
    assert error < 1e-6
    assert error_of_pyg > 10 * error


def test_second_derivatives_of_dimenet_on_a_line():
    """Against finite differences exactly where the angle has none: a linear molecule."""
    z, pos = torch.tensor([8, 6, 8]), torch.tensor([[0.0, 0, 1.2], [0, 0, 0], [0, 0, -1.2]], dtype=torch.float64)
    encoder = Adapter(dimenet()).double()
    weights = torch.randn(16, dtype=torch.float64)
    energy = lambda pos: (encoder(z, pos).scalars @ weights).sum()  # noqa: E731
    assert torch.autograd.gradcheck(energy, pos.requires_grad_())
    assert torch.autograd.gradgradcheck(energy, pos)


def test_dimenet_tells_a_bond_from_what_is_too_close():
    """H-H bonds are pulled at; atoms in each other are no further in than those 0.7 Å apart."""
    encoder = Adapter(as_trained(dimenet()))
    z, axis = torch.tensor([1, 1]), torch.tensor([[0.0, 0, 0], [0, 0, 1]])

    def derivative(distance):
        distance = torch.tensor(distance, requires_grad=True)
        return torch.autograd.grad(encoder(z, distance * axis).scalars.sum(), distance)[0]

    assert derivative(0.74) != 0
    for distance in (0.0, 1e-3, 0.3, 0.69):
        assert derivative(distance) == 0
        torch.testing.assert_close(encoder(z, distance * axis).scalars, encoder(z, 0.7 * axis).scalars)


def test_dimenet_bears_strong_noise():
    """Its features stay within two orders of the size that they have for molecules, where they grew by four."""
    encoder = Adapter(dimenet(num_spherical=7, num_radial=6))
    z, pos, batch = random_molecules((15,) * 8)
    size = encoder(z, pos, batch).scalars.abs().max()
    for _ in range(5):
        assert encoder(z, pos + torch.randn_like(pos), batch).scalars.abs().max() < 200 * size


def PNA_of(channels, edge_dim):
    degrees = torch.tensor([1, 5, 9, 5, 2])
    return PNA(channels, channels, 2, aggregators=["mean", "std"], scalers=["identity"], deg=degrees, edge_dim=edge_dim)


@pytest.mark.parametrize(
    "make",
    [
        lambda: visnet(lmax=2, trainable_rbf=True, trainable_vecnorm=True),
        lambda: visnet(lmax=2, vertex=True),
        lambda: visnet(),
    ],
    ids=["trainable basis and norm", "vertex", "default"],
)
def test_no_parameter_of_visnet_waits_for_a_gradient(make):
    assert_all_have_gradients(Adapter(make()))


def test_no_parameter_of_a_graph_network_waits_for_a_gradient():
    assert_all_have_gradients(Adapter(PNA_of(16, 8), cutoff=4.0, num_rbf=8))


def assert_all_have_gradients(encoder):
    atoms = encoder(*random_molecules((5, 8)))
    sum((features * torch.randn_like(features)).sum() for features in by_degree(atoms)).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


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
def test_the_module_behind_a_callable_is_part_of_the_adapter(of):
    model = Gaussians(16)
    encoder = Adapter(of(model), out_channels=16)
    assert [id(parameter) for parameter in encoder.parameters()] == [id(model.embedding.weight)]
    other = copy.deepcopy(encoder).double()
    other(*random_molecules(dtype=torch.float64)).scalars.sum().backward()
    assert next(other.parameters()).grad is not None
    assert model.embedding.weight.dtype == torch.float32


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
def test_a_graph_network_reads_embedded_elements_and_edges(make, keywords):
    torch._dynamo.reset()
    torch.manual_seed(0)
    network, molecules = make(), random_molecules()
    encoder = Adapter(network, **keywords)
    with without_shape_checks():
        actual = encoder(*molecules).scalars
        expected = network(encoder.features.embedding(molecules[0]), radius_graph(*molecules[1:], 3.0))
    torch.testing.assert_close(actual, expected)
    assert encoder.cutoff == 3.0


def test_the_model_is_shared_and_keeps_its_output_layers():
    model = schnet()
    encoder = Adapter(model)
    assert encoder.features.embedding is model.embedding
    assert not any("lin2" in name and "interactions" not in name for name in encoder.state_dict())
    assert model.lin2.weight.requires_grad


def test_sizes_are_read_off_the_model():
    sizes = {}
    for encoder in (
        Adapter(schnet(cutoff=7.0)),
        Adapter(dimenet(out_emb_channels=24, num_spherical=2)),
        Adapter(visnet(max_z=50)),
    ):
        sizes[type(encoder.features).__name__] = (encoder.out_channels, encoder.cutoff, encoder.max_z)
    assert sizes == {"SchNetFeatures": (16, 7.0, 99), "DimeNetFeatures": (24, 5.0, 94), "ViSNetFeatures": (16, 5.0, 49)}
    encoder = Adapter(GCN(8, 16, 2, out_channels=4), cutoff=3.0)
    assert (encoder.out_channels, encoder.features.embedding.embedding_dim, encoder.max_z) == (4, 8, 100)


def test_no_neighbour_is_dropped():
    """An atom with 60 neighbours, of which PyG's default would keep 32."""
    torch.manual_seed(0)
    pos = torch.cat([torch.zeros(1, 3), nn.functional.normalize(torch.randn(60, 3)) * 2.9])
    model = schnet(cutoff=3.0, max_num_neighbors=32)
    expected = Adapter(schnet(cutoff=3.0, interaction_graph=explicit_graph(3.0)))
    expected.load_state_dict(Adapter(model).state_dict())
    z = torch.ones(61, dtype=torch.int64)
    torch.testing.assert_close(Adapter(model)(z, pos).scalars, expected(z, pos).scalars, rtol=1e-5, atol=1e-5)


def test_methods_run_with_a_model_without_vectors():
    batch = Batch.from_data_list(MiniSpectra()[:3])
    encoder = Adapter(schnet())
    Coord(channels=16, prediction="gradient")(encoder, batch)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    with pytest.raises(ValueError, match="vectors"):
        VectorHead(16)(encoder(batch.z, batch.pos, batch.batch))


@pytest.mark.parametrize("returns", ["scalars", "pair", "features"])
def test_what_a_callable_may_return(returns):
    def model(z, pos, batch):
        scalars = pos.norm(dim=1, keepdim=True).expand(-1, 4)
        vectors = pos.unsqueeze(2).expand(-1, 3, 4)
        degree_2 = o3.spherical_harmonics(2, pos, normalize=False).unsqueeze(2).expand(-1, 5, 4)
        choices = {"scalars": scalars, "pair": (scalars, vectors)}
        return choices.get(returns, AtomFeatures(scalars, vectors, (degree_2,)))

    encoder = Adapter(model, out_channels=4)
    atoms = encoder(*random_molecules())
    assert atoms.l_max == {"scalars": 0, "pair": 1, "features": 2}[returns]
    assert (encoder.out_channels, encoder.cutoff) == (4, float("inf"))


def test_an_encoder_of_ours_gives_the_same_inside():
    encoder = EquivariantTransformer(16, num_layers=2, num_heads=4)
    molecules = random_molecules()
    context = torch.randn(len(molecules[0]), 16)
    adapter = Adapter(encoder)
    assert torch.equal(adapter(*molecules, context=context).scalars, encoder(*molecules, context=context).scalars)
    assert (adapter.out_channels, adapter.cutoff, adapter.max_z) == (16, 5.0, 100)


def test_bonds_reach_a_callable_that_takes_them():
    seen = {}

    def model(z, pos, batch, bond_index=None, **others):
        seen.update(bond_index=bond_index, **others)
        return pos

    batch = Batch.from_data_list(MiniSpectra()[:2])
    encode(Adapter(model, out_channels=3), batch)
    assert torch.equal(seen["bond_index"], batch.bond_index)
    assert torch.equal(seen["bond_order"], batch.bond_order)


def test_a_graph_network_of_bonds():
    class Neighbors(nn.Module):
        def forward(self, x, edge_index, batch):
            assert len(batch) == len(x)
            return scatter(x[edge_index[0]], edge_index[1], dim=0, dim_size=len(x))

    batch = Batch.from_data_list(MiniSpectra()[:2])
    encoder = Adapter(Neighbors(), out_channels=8, in_channels=8, edges="bonds")
    actual = encode(encoder, batch).scalars
    embedded = encoder.features.embedding(batch.z)
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
    encoder = Adapter(GCN(8, 8, 2), edges="bonds").eval()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    for start in (0, 3):
        batch = Batch.from_data_list(MiniSpectra()[start : start + 2])
        with without_shape_checks():
            actual = compiled(batch.z, batch.pos, batch.batch, bond_index=batch.bond_index).scalars
        torch.testing.assert_close(actual, encode(encoder, batch).scalars)


@pytest.mark.usefixtures("no_shape_checks")
def test_numbers_of_numpy():
    encoder = Adapter(model_of_atoms, np.int64(3), np.float32(4.0))
    assert (encoder.out_channels, encoder.cutoff) == (3, 4.0)
    assert encoder(*random_molecules()).scalars.shape == (14, 3)


def test_a_callable_without_a_cutoff():
    model = Gaussians(16)
    model.cutoff = None
    assert Adapter(model).cutoff == float("inf")


def test_saving(tmp_path):
    """What describes itself can be saved; PyG's models do not."""
    encoder = Adapter(EquivariantTransformer(16, num_layers=1, num_heads=4), max_z=20).eval()
    with pytest.raises(TypeError, match=r"module.module is a SchNet.*Configurable"):
        save(Adapter(schnet()), tmp_path)
    save(encoder, tmp_path)
    molecules = random_molecules()
    # The class is known once molspectra.encoders exports it.
    assert torch.equal(load(tmp_path, [Adapter])(*molecules).scalars, encoder(*molecules).scalars)


def with_cutoff(model, cutoff):
    model.cutoff = cutoff
    return model


def model_of_atoms(z, pos, batch):
    return pos


def model_of_molecules(z, pos, batch):
    return scatter(pos, batch, dim=0)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adapter(schnet(), out_channels=16), "out_channels must be left out.*SchNet tells its sizes"),
        (lambda: Adapter(schnet(), edges="bonds"), "edges must be left out"),
        (lambda: Adapter(model_of_molecules), "out_channels must be a positive int; got None"),
        (lambda: Adapter(model_of_molecules, 3, num_rbf=4), "num_rbf must be left out.*in_channels= tells"),
        (lambda: Adapter(GCN(8, 8, 2)), "need a cutoff"),
        (lambda: Adapter(GCN(8, 8, 2), cutoff=4.0, edges="knn"), 'edges must be "radius" or "bonds"'),
        (lambda: Adapter(GIN(8, 8, 2), cutoff=4.0, num_rbf=4), "GIN takes no edge_attr"),
        (lambda: Adapter(GAT(8, 8, 2), cutoff=4.0, edge_weight=True), "GAT takes no edge_weight"),
        (lambda: Adapter(lambda x, edge_index: x, in_channels=8, cutoff=4.0), "out_channels must be a positive int"),
        (lambda: Adapter(lambda x, edge_index: x, 8, cutoff=4.0), "in_channels must be .*got None.*pass in_channels="),
        (lambda: Adapter(GCN(-1, 8, 2), cutoff=4.0), "in_channels must be .*got -1.*pass in_channels="),
        (lambda: Adapter(model_of_molecules, 3.0), "out_channels must be a positive int; got 3.0.$"),
        (lambda: Adapter(model_of_molecules, 3, cutoff=0), "cutoff must be a positive number"),
        (lambda: Adapter(GCN(8, 8, 2), cutoff=-1.0), "cutoff must be a positive number"),
        (lambda: Adapter(with_cutoff(GCN(8, 8, 2), nn.Identity())), r"got Identity\(\). Pass another one as cutoff="),
        (lambda: Adapter(GCN(8, 8, 2, cached=True), cutoff=4.0), "convs.0, a GCNConv, has cached=True"),
        (lambda: Adapter(functools.partial(apply_model, GCN(8, 8, 2, cached=True)), 8), "cached=False"),
        (lambda: Adapter(DimeNet(8, 1, 1, 2, 2, 1)), "DimeNet, which is not read. Use PyG's DimeNetPlusPlus"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.usefixtures("no_shape_checks")
def test_what_a_model_cannot_do_is_refused():
    molecules = random_molecules()
    context = torch.zeros(len(molecules[0]), 3)
    with pytest.raises(ValueError, match="model_of_molecules does not take `context`"):
        Adapter(model_of_molecules, 3)(*molecules, context=context)
    with pytest.raises(ValueError, match=r"features of 14 atoms.*got \[\(3, 3\)\]"):
        Adapter(model_of_molecules, 3)(*molecules)
    for returned, message in (
        ({}, "got a dict"),
        ((molecules[1], 3), "got a tuple of Tensor, int"),
        ((None, None), "got a tuple of NoneType, NoneType"),
        (tuple([molecules[1]] * 3), "got a tuple of Tensor, Tensor, Tensor"),
        (AtomFeatures(3), "got a AtomFeatures"),
    ):
        with pytest.raises(TypeError, match=message):
            Adapter(lambda z, pos, batch, returned=returned: returned, 3)(*molecules)
    with pytest.raises(ValueError, match="context .* is added to the embedding"):
        Adapter(dimenet(out_emb_channels=3, num_spherical=2))(*molecules, context=context)
    with pytest.raises(TypeError, match=r"pos must be torch.float32"):
        Adapter(schnet())(molecules[0], molecules[1].double(), molecules[2])
