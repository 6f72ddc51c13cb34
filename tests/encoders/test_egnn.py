"""EGNN: the shipped suite, its equations written out, and the arithmetic of the published one."""

import math

import pytest
import torch

from molspectra.encoders.egnn.layer import EGNNLayer
from molspectra.encoders.egnn.model import EGNN
from molspectra.encoders.egnn.neighborhood import Neighborhood
from molspectra.geometry import radius_graph
from molspectra.pretrained.reference.keymaps import EGNN as EGNN_NAMES
from molspectra.pretrained.reference.keymaps import rename
from molspectra.testing import EncoderSuite, assert_close, assert_features_close, random_molecules
from tests.oracles.egnn import explicit_egnn


class BondedEGNN(EGNN):
    """EGNN with bonds between atoms that are close, for tests that know of no bonds."""

    def check(self, z, pos, batch, **optional):
        molecules = super().check(z, pos, batch, **optional)
        return molecules._replace(bond_index=radius_graph(molecules.pos, batch, 1.45))


class TestDefault(EncoderSuite):
    def make_encoder(self):
        return EGNN(16, num_layers=2)


class TestMoving(EncoderSuite):
    def make_encoder(self):
        return with_large_moves(EGNN(16, num_layers=3, coordinates="every", layer_norm=True))


class TestFullyConnected(EncoderSuite):
    smooth_at_cutoff = False  # there is none

    def make_encoder(self):
        return BondedEGNN(16, num_layers=2, cutoff=None, max_hops=3, coordinates="last")


class TestReleased(EncoderSuite):
    smooth_at_cutoff = False
    # The networks that would move atoms in all layers but the last do not count.
    parameters_without_gradient = frozenset(
        f"layers.{layer}.coord_mlp.{name}" for layer in (0, 1) for name in ("0.weight", "0.bias", "2.weight")
    )

    def make_encoder(self):
        return BondedEGNN(16, num_layers=3, cutoff=None, max_hops=3, coordinates="last", as_released=True)


def with_large_moves(encoder):
    """The same encoder, in which atoms move by tenths of Å: freshly initialized, they hardly do."""
    for layer in encoder.layers:
        if layer.coord_mlp is not None:
            torch.nn.init.normal_(layer.coord_mlp[-1].weight, std=0.5)
    return encoder


@pytest.mark.parametrize("coordinates", ["never", "last", "every"])
@pytest.mark.parametrize(("cutoff", "max_hops"), [(3.0, 0), (None, 2), (3.0, 3)])
@pytest.mark.parametrize(("attention", "layer_norm"), [(True, False), (False, True), (True, True)])
def test_equals_its_equations_written_out(coordinates, cutoff, max_hops, attention, layer_norm):
    encoder = with_large_moves(EGNN(8, 2, cutoff, max_hops, coordinates, attention, layer_norm)).double()
    z, pos, batch = random_molecules((5, 1, 4), torch.float64)
    pos = (1.5 * pos).requires_grad_()  # far enough apart for the cutoff to matter
    bond_index = torch.tensor([[0, 1, 2, 6, 8], [1, 2, 3, 7, 9]])
    weights = torch.randn(2, 8, dtype=torch.float64)
    results = []
    for move in (encoder.move, lambda *arguments, bond_index: explicit_egnn(encoder, *arguments, bond_index)):
        (scalars, vectors), moved = move(z, pos, batch, bond_index=bond_index)
        loss = (scalars * weights[0]).sum() + (vectors.square() * weights[1]).sum() + moved.square().sum()
        results.append([scalars, vectors, moved, *torch.autograd.grad(loss, pos)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    assert ((results[0][2] - pos).abs().max() > 0.01) == (coordinates != "never")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_released_mode_with_layer_norm_gives_the_published_numbers(load_fixture, dtype):
    inputs, trace = (load_fixture(f"emgp/{name}.safetensors") for name in ("inputs", "egnn_layernorm_small"))
    encoder = EGNN(16, 3, None, 3, "last", layer_norm=True, max_z=99, as_released=True)
    state = {name.removeprefix("weights."): tensor for name, tensor in trace.items() if name.startswith("weights.")}
    encoder.load_state_dict(rename(state, EGNN_NAMES))
    encoder.to(dtype)
    atoms, moved = encoder.move(inputs["z"], inputs["pos"].to(dtype), inputs["batch"], bond_index=inputs["bond_index"])
    name, tolerance = ("f64", 1e-9) if dtype == torch.float64 else ("f32", 1e-4)
    assert_close(atoms.scalars, trace[f"{name}.h"], tolerance, "h")
    assert_close(moved, trace[f"{name}.pos"], tolerance, "pos")


@pytest.mark.usefixtures("float32_weights")
def test_released_features_of_elements(load_fixture):
    """The embedding, against the published feature matrix times the weights."""
    inputs = load_fixture("emgp/inputs.safetensors")
    encoder = EGNN(16, 1, None, max_z=99, as_released=True)
    torch.testing.assert_close(encoder.embedding(inputs["z"]), encoder.embedding.linear(inputs["node_feature"]))


@pytest.mark.parametrize("coordinates", ["last", "every"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_moved_positions_are_equivariant(coordinates, dtype):
    encoder = with_large_moves(EGNN(16, 2, coordinates=coordinates)).to(dtype)
    z, pos, batch = random_molecules(dtype=dtype)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0].to(dtype)
    shift = torch.randn(3, dtype=dtype)
    _, moved = encoder.move(z, pos, batch)
    _, turned = encoder.move(z, pos @ turn.T + shift, batch)
    assert_close(turned, moved @ turn.T + shift, 1e-5 if dtype == torch.float32 else 1e-12, "moved positions")


@pytest.mark.usefixtures("float32_weights")
def test_atoms_stay_where_nothing_moves_them():
    z, pos, batch = random_molecules()
    assert torch.equal(EGNN(16, 2).move(z, pos, batch)[1], pos)
    lone = torch.tensor([11]), torch.randn(1, 3, dtype=torch.float32)
    assert torch.equal(EGNN(16, 2, coordinates="every").move(*lone)[1], lone[1])


@pytest.mark.usefixtures("float32_weights")
def test_bonds_matter_if_asked_for():
    z, pos, batch = random_molecules((6,))
    chain = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    none = torch.empty(2, 0, dtype=torch.int64)
    for max_hops, differ in ((0, False), (2, True)):
        encoder = EGNN(16, 2, max_hops=max_hops)
        bonded, unbonded = (encoder(z, pos, batch, bond_index=bonds).scalars for bonds in (chain, none))
        assert torch.equal(bonded, unbonded) != differ
        both_ways = torch.cat([chain, chain.flip(0)], dim=1)
        assert torch.equal(bonded, encoder(z, pos, batch, bond_index=both_ways).scalars)


@pytest.mark.usefixtures("float32_weights")
def test_no_bonds_are_refused_where_they_are_needed():
    with pytest.raises(ValueError, match=r"EGNN with max_hops=3 needs bond_index.*got None.*empty\(2, 0.*max_hops=0"):
        EGNN(16, 1, max_hops=3)(*random_molecules())


def test_without_cutoff_all_atoms_of_a_molecule_count():
    z = torch.tensor([6, 8, 7])
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [30, 1, 0]])
    encoder = EGNN(16, 1, cutoff=None)
    assert encoder.cutoff == math.inf
    moved = pos.clone()
    moved[2, 1] += 5
    assert not torch.allclose(encoder(z, pos).scalars[0], encoder(z, moved).scalars[0], atol=1e-5)
    near = EGNN(16, 1)
    assert torch.equal(near(z, pos).scalars[0], near(z, moved).scalars[0])


def test_a_large_cutoff_tends_to_none():
    z, pos, batch = random_molecules(dtype=torch.float64)
    near, far = EGNN(16, 2, cutoff=1e6, coordinates="every").double(), EGNN(16, 2, None, coordinates="every").double()
    far.load_state_dict(near.state_dict())
    assert_features_close(near(z, pos, batch), far(z, pos, batch), 1e-9, "features at a cutoff of 0.1 mm")


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_layers": 0}, "num_layers must be at least 1"),
        ({"cutoff": 0.0}, "cutoff must be positive"),
        ({"max_hops": -1}, "max_hops must not be negative; got -1"),
        ({"coordinates": "first"}, 'coordinates must be "never", "last" or "every"; got \'first\''),
        ({"max_z": 119}, "max_z must lie in 1..118"),
        ({"as_released": True}, "no cutoff; pass cutoff=None"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EGNN(**({"hidden_channels": 16, "num_layers": 1} | arguments))


def test_a_layer_that_cannot_move_atoms_says_so():
    empty = torch.empty(0, 1)
    neighborhood = Neighborhood(torch.empty(2, 0, dtype=torch.int64), empty, empty, torch.ones(3, 1), None)
    with pytest.raises(ValueError, match="build this one with moves=True"):
        EGNNLayer(8)(torch.randn(3, 8), empty, neighborhood, torch.empty(0, 3))
