"""Base of the encoders, the protocol that any callable meets, and the names of their steps in a trace."""

import functools
import math

import pytest
import torch
from torch import nn

from molspectra.encoders import (
    EGNN,
    GET,
    AtomFeatures,
    BaseEncoder,
    Encoder,
    EquivariantTransformer,
    IrrepsTransformer,
    PaiNN,
)
from molspectra.testing import random_molecules

pytestmark = pytest.mark.usefixtures("float32_weights")


class ElementEmbedding(BaseEncoder):
    """Smallest encoder: the embedding of the element."""

    def __init__(self, channels=8, max_z=100):
        super().__init__(channels, math.inf, max_z)
        self.embedding = nn.Embedding(max_z + 1, channels)
        self.seen = None

    def encode(self, molecules):
        self.seen = molecules
        return AtomFeatures(self.hook_point(molecules.add_context(self.embedding(molecules.z))))


def test_encode_gets_all_arguments():
    z, pos, batch = random_molecules((3, 2))
    optional = {
        "bond_index": torch.tensor([[0, 3], [1, 4]]),
        "bond_order": torch.tensor([1.0, 2.0]),
        "context": torch.randn(5, 8, dtype=torch.float32),
    }
    encoder = ElementEmbedding()
    atoms = encoder(z, pos, batch, **optional)
    torch.testing.assert_close(atoms.scalars, encoder.embedding(z) + optional["context"])
    assert encoder.seen.num_atoms == 5
    for name, value in {"z": z, "pos": pos, "batch": batch, **optional}.items():
        assert getattr(encoder.seen, name) is value


def test_attributes_of_the_base():
    encoder = ElementEmbedding(channels=4, max_z=20)
    assert (encoder.out_channels, encoder.cutoff, encoder.max_z, encoder.needs_bonds) == (4, math.inf, 20, False)
    assert encoder.config == {"channels": 4, "max_z": 20}


def test_positions_get_the_dtype_of_the_weights_under_autocast():
    z, pos, batch = random_molecules()
    encoder = ElementEmbedding()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoder(z, pos.bfloat16(), batch)
    assert encoder.seen.pos.dtype == torch.float32
    with pytest.raises(TypeError, match="pos must be torch.float32, as the weights are; got torch.float64"):
        encoder(z, pos.double(), batch)


def test_edges_with_and_without_self_loops():
    z, pos = torch.tensor([1, 1, 1]), torch.tensor([[0, 0, 0], [1, 0, 0], [5, 0, 0]], dtype=torch.float32)
    encoder = ElementEmbedding()
    encoder.cutoff = 2.0
    molecules = encoder.check(z, pos, None)
    edges = encoder.edges(molecules)
    assert edges.index.tolist() == [[1, 0], [0, 1]]
    assert edges.distance.tolist() == [1, 1]
    assert edges.direction.tolist() == [[1, 0, 0], [-1, 0, 0]]
    assert encoder.edges(molecules, loop=True).index.tolist() == [[0, 1, 0, 1, 2], [0, 0, 1, 1, 2]]


@pytest.mark.parametrize("max_z", [0, 119])
def test_impossible_elements_are_refused(max_z):
    with pytest.raises(ValueError, match=f"max_z must lie in 1..118; got {max_z}"):
        ElementEmbedding(max_z=max_z)


EMBEDDING = ElementEmbedding().float()


def encode_nothing(z, pos, batch=None, channels=1):
    """Return scalars of 0."""
    return AtomFeatures(pos.new_zeros(len(z), channels))


@pytest.mark.parametrize(
    "encoder",
    [
        ElementEmbedding().float(),
        ElementEmbedding().float().forward,
        encode_nothing,
        functools.partial(encode_nothing, channels=2),
    ],
    ids=["module", "method", "function", "partial"],
)
def test_any_callable_is_an_encoder(encoder):
    def call(encoder: Encoder) -> AtomFeatures:
        return encoder(*random_molecules())

    assert isinstance(encoder, Encoder)
    call(encoder)


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda: EquivariantTransformer(8, 2, 2, 4), {"pairs": 1, "neighbor_embedding": 1, "layer": 2}),
        (lambda: EGNN(8, 2), {"layer": 2, "vectors": 1}),
        (lambda: GET(8, 2, 2, 4), {"triplets": 1, "embedding": 1, "edge_update": 2, "layer": 2}),
        (lambda: PaiNN(8, 2, 4), {"message": 2, "update": 2}),
        (lambda: IrrepsTransformer(8, 2, 2, num_rbf=4), {"basis": 1, "neighbor_density": 1, "layer": 2}),
    ],
    ids=["equivariant_transformer", "egnn", "get", "painn", "irreps_transformer"],
)
def test_a_trace_names_the_steps(make, steps, request):
    encoder, molecules = make(), random_molecules()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        encoder(*molecules)
    counts = {event.key: event.count for event in profile.key_averages() if event.key.startswith("molspectra::")}
    name = request.node.callspec.id
    for step, count in steps.items():
        assert counts[f"molspectra::{name}.{step}"] == count
    assert counts["molspectra::encoder.check"] == 1
