"""SliDe's encoder: the shipped suite, its equations written out, its bases, and the hazards of its release."""

import math

import pytest
import torch
from scipy import special
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.encoders.base import Edges
from molspectra.encoders.get.bessel import RadialBasis, SphericalBesselBasis, spherical_bessel
from molspectra.encoders.get.mean_torsion import mean_torsion
from molspectra.encoders.get.model import GET
from molspectra.encoders.get.nearest_torsion import nearest_torsion
from molspectra.encoders.get.triplets import TripletBasis
from molspectra.geometry import edge_geometry, radius_graph
from molspectra.geometry.edge_pairs import edge_pairs
from molspectra.testing import EncoderSuite, assert_close, edge_molecule, random_molecules, random_orthogonal
from tests.oracles.get import explicit_get, explicit_mean_torsion, explicit_nearest_torsion


class TestGET(EncoderSuite):
    parameters_without_gradient = frozenset({"layers.0.vec_proj.weight"})  # no vectors have come in yet

    def make_encoder(self):
        return GET(16, num_layers=2, num_heads=4, num_rbf=8)

    def make_encoder_to_compile(self):
        return GET(8, num_layers=1, num_heads=2, num_rbf=4)


class TestNormalized(EncoderSuite):
    parameters_without_gradient = frozenset({"layers.0.vec_proj.weight"})

    def make_encoder(self):
        return GET(8, num_layers=2, num_heads=2, num_rbf=4, norm_every_layer=True, normalize=True)

    def make_encoder_to_compile(self):
        return GET(8, num_layers=1, num_heads=2, num_rbf=4, norm_every_layer=True, normalize=True)


def small(**arguments):
    """An encoder whose biases are not zero, as after training."""
    encoder = GET(8, 2, 2, 4, **arguments).double().eval()
    for name, parameter in encoder.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return encoder


def released(**arguments):
    return small(vector_norm="whitened", as_released=True, **arguments)


@pytest.mark.parametrize("normalize", [False, True])
def test_equals_its_equations_written_out(normalize):
    encoder = GET(8, num_layers=2, num_heads=2, num_rbf=4, cutoff=4.0, vector_norm=None, normalize=normalize).double()
    for name, parameter in encoder.named_parameters():  # biases are zero at first
        if "frequencies" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    z, pos, batch = random_molecules((5, 1, 2), torch.float64)
    pos = (1.5 * pos).requires_grad_()  # far enough apart for the cutoff to matter
    weights = torch.randn(2, 8, dtype=torch.float64)
    results = []
    for scalars, vectors in (encoder(z, pos, batch), explicit_get(encoder, z, pos, batch)):
        (grad,) = torch.autograd.grad((scalars * weights[0]).sum() + (vectors.square() * weights[1]).sum(), pos)
        results.append((scalars, vectors, grad))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-9)


# Radial functions


@pytest.mark.parametrize("order", [0, 1, 2])
def test_spherical_bessel_functions_equal_those_of_scipy(order):
    x = torch.cat([torch.zeros(1, dtype=torch.float64), torch.logspace(-6, 1.6, 300, dtype=torch.float64)])
    expected = torch.from_numpy(special.spherical_jn(order, x.numpy()))
    assert (spherical_bessel(x, order) - expected).abs().max() < 1e-14
    assert (spherical_bessel(x.float(), order) - expected).abs().max() < 1e-6


@pytest.mark.parametrize("order", [0, 1, 2])
def test_spherical_bessel_functions_have_derivatives_at_zero_and_at_the_switch(order):
    x = torch.tensor([0.0, 2 - 1e-7, 2 + 1e-7], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(spherical_bessel(x, order).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    expected = torch.from_numpy(special.spherical_jn(order, x.detach().numpy(), derivative=True))
    torch.testing.assert_close(first.detach(), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(second[0], torch.tensor([-1 / 3, 0, 2 / 15][order], dtype=torch.float64))
    torch.testing.assert_close(second[1], second[2], rtol=0, atol=1e-6)


def test_bessel_basis_is_orthonormal():
    """∫ B_ln B_lm t² dt = δ_nm over 0 < t < 1, by Gauss and Legendre's quadrature."""
    nodes, weights = special.roots_legendre(60)
    t, weights = torch.from_numpy(0.5 * (nodes + 1)), torch.from_numpy(0.5 * weights)
    values = SphericalBesselBasis(5.0).double()(5 * t)
    overlaps = torch.einsum("e,eln,elm->lnm", weights * t**2, values, values)
    torch.testing.assert_close(overlaps, torch.eye(6, dtype=torch.float64).expand(3, 6, 6), rtol=0, atol=1e-12)


def test_released_constants_are_rounded_exact_ones():
    exact, rounded = SphericalBesselBasis(5.0).double(), SphericalBesselBasis(5.0, as_released=True).double()
    torch.testing.assert_close(rounded.zeros, exact.zeros, rtol=1e-7, atol=0)
    torch.testing.assert_close(rounded.norms, exact.norms, rtol=4e-7, atol=0)


def test_radial_basis_vanishes_at_the_cutoff_with_slope_and_curvature():
    basis = RadialBasis(5.0).double()
    basis.frequencies.data = math.pi * torch.arange(1, 7, dtype=torch.float64)
    r = torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    value = basis(r)
    t = 0.2
    envelope = 1 / t - 28 * t**5 + 48 * t**6 - 21 * t**7
    expected = [envelope * math.sin(n * math.pi * t) for n in range(1, 7)]
    torch.testing.assert_close(value[1].tolist(), expected)
    torch.testing.assert_close(value[0].tolist(), [n * math.pi for n in range(1, 7)])
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    for number in (value[2].abs().max(), slope[2], curvature[2]):
        assert number.detach().abs() < 1e-10


# Torsions


def triplets_of(pos, cutoff=5.0):
    edge_index = radius_graph(pos, None, cutoff)
    distance, direction = edge_geometry(pos, edge_index)
    inner, outer = edge_pairs(edge_index, pos)
    source, target = edge_index.tolist()
    edges = list(zip(source, target, strict=True))
    atoms = [(*edges[kj], edges[ji][1]) for kj, ji in zip(inner.tolist(), outer.tolist(), strict=True)]
    return Edges(edge_index, distance, direction), inner, outer, edges, atoms


def test_mean_torsions_equal_their_definition():
    _, pos, _ = random_molecules((6,), torch.float64)
    edges, inner, outer, pairs, triplets = triplets_of(pos, 3.0)
    envelope = ms.layers.CosineCutoff(3.0)(edges.distance)
    actual = torch.stack(mean_torsion(edges, envelope, inner, outer, 6), dim=1)
    expected = torch.stack([torch.stack(explicit_mean_torsion(pos, pairs, triplet, 3.0)) for triplet in triplets])
    assert len(triplets) > 20
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


def test_nearest_torsions_equal_their_definition():
    _, pos, _ = random_molecules((7,), torch.float64)
    edges, inner, outer, pairs, triplets = triplets_of(pos, 3.0)
    along, axis = edges.direction[inner], -edges.direction[outer]
    actual = nearest_torsion(along, axis, outer, len(pairs))
    rotations = [explicit_nearest_torsion(pos, pairs, triplet) for triplet in triplets]
    expected = torch.tensor(rotations, dtype=torch.float64)
    assert len(triplets) > 20
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)
    # An atom compared with itself would be at 0.
    assert actual.min() > 1e-3


@pytest.mark.parametrize("name", ["organic", "ring", "ring_flat", "linear_bent", "mixed"])
def test_published_triplets(load_fixture, name):
    """Of one molecule or several, with the atom itself left out."""
    batches, geometry = load_fixture("slide_get/batches.safetensors"), load_fixture("slide_get/geometry.safetensors")
    z, pos, batch = (batches[f"{name}.{field}"] for field in ("z", "pos", "batch"))
    edge_index = radius_graph(pos, batch, 5.0)
    edges = Edges(edge_index, *edge_geometry(pos, edge_index))
    triplets = TripletBasis(5.0, as_released=True).double()(edges, torch.ones_like(edges.distance), z)
    assert torch.equal(triplets.inner, geometry[f"{name}.idx_kj"])
    assert torch.equal(triplets.outer, geometry[f"{name}.idx_ji"])
    along, axis = edges.direction[triplets.inner], -edges.direction[triplets.outer]
    torsion = nearest_torsion(along, axis, triplets.outer, edge_index.shape[1])
    torch.testing.assert_close(torsion, geometry[f"{name}.torsion"], rtol=0, atol=1e-9)
    if f"{name}.tbf" in geometry:
        torch.testing.assert_close(triplets.angle_basis, geometry[f"{name}.sbf"], rtol=0, atol=1e-12)
        torch.testing.assert_close(triplets.torsion_basis, geometry[f"{name}.tbf"], rtol=0, atol=1e-9)


def test_nearest_torsion_of_three_atoms_is_a_full_turn():
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1.2, 0.3]], dtype=torch.float64)
    edges, inner, outer, pairs, _ = triplets_of(pos)
    torsion = nearest_torsion(edges.direction[inner], -edges.direction[outer], outer, len(pairs))
    assert torch.equal(torsion, torch.full_like(torsion, 2 * math.pi))


@pytest.mark.parametrize("name", ["planar", "linear", "coincident"])
def test_released_torsions_have_finite_derivatives(name):
    z, pos = edge_molecule(name, torch.float64)
    pos.requires_grad_()
    atoms = released()(z, pos)
    (grad,) = torch.autograd.grad(atoms.scalars.square().sum() + atoms.scalars.sum(), pos, create_graph=True)
    assert grad.isfinite().all()
    (second,) = torch.autograd.grad(grad.square().sum(), pos)
    assert second.isfinite().all()


# Hazards of the release, and their absence by default


@pytest.fixture
def furan():
    """Flat furan: every torsion is 0 or π."""
    pos = [[1.1, 0, 0], [0.35, 1.1, 0], [-0.97, 0.72, 0], [-0.97, -0.72, 0], [0.35, -1.1, 0]]
    pos += [[0.84, 2.06, 0], [-1.84, 1.38, 0], [-1.84, -1.38, 0], [0.84, -2.06, 0]]
    return torch.tensor([8, 6, 6, 6, 6, 1, 1, 1, 1]), torch.tensor(pos, dtype=torch.float64)


def change(encoder, z, pos, moved):
    return float((encoder(z, moved).scalars - encoder(z, pos).scalars).detach().abs().max())


def test_planar_molecules_jump_as_released_only(furan):
    z, pos = furan
    jitter = 1e-6 * torch.randn(pos.shape, dtype=torch.float64)
    other = 1e-6 * torch.randn(pos.shape, dtype=torch.float64)
    assert change(released(), z, pos + jitter, pos + other) > 1e-3
    assert change(small(), z, pos + jitter, pos + other) < 1e-4


def test_mirror_images_differ_as_released_only():
    z, pos, _ = random_molecules((8,), torch.float64)
    mirrored = pos * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert change(released(), z, pos, mirrored) > 1e-3
    assert change(small(), z, pos, mirrored) < 1e-11


def test_rotation_as_released():
    """With the atom itself left out, scalars of the arrangement for MD17 are invariant under rotation."""
    z, pos, _ = random_molecules((8,), torch.float64)
    turned = pos @ random_orthogonal(torch.float64).T
    assert change(released(), z, pos, turned) < 1e-11


@pytest.mark.parametrize("normalize", [False, True])
def test_features_jump_at_the_cutoff_as_released_only(normalize):
    z = torch.tensor([8, 6, 1])
    near, far = (
        torch.tensor([[0, 0, 0], [1.2, 0, 0], [5.0 + step, 0, 0]], dtype=torch.float64) for step in (-1e-7, 1e-7)
    )
    assert change(released(normalize=normalize), z, near, far) > 1e-4
    assert change(small(normalize=normalize), z, near, far) < 1e-6


def test_a_neighbor_leaves_torsions_smoothly():
    z, pos = edge_molecule("tetrahedral", torch.float64)
    z, far = torch.cat([z, z[:1]]), torch.tensor([[0.0, 0.0, 5.0]], dtype=torch.float64)
    bases = []
    for step in (-1e-6, 1e-6):
        moved = torch.cat([pos, far * (1 + step)])
        edges, *_ = triplets_of(moved)
        envelope = ms.layers.CosineCutoff(5.0)(edges.distance)
        triplets = TripletBasis(5.0).double()(edges, envelope, z)
        own = (edges.index[:, triplets.outer] < 5).all(dim=0) & (edges.index[:, triplets.inner] < 5).all(dim=0)
        bases.append(triplets.torsion_basis[own])
    # It moves by 10⁻⁵ Å.
    assert_close(bases[1], bases[0], 1e-5, "torsions across the cutoff")


@pytest.mark.usefixtures("float32_weights")
def test_strong_noise_does_not_overflow():
    molecules = Batch.from_data_list(list(ms.data.MiniSpectra("train")[::60]))
    encoder = GET(16, 3, 2, 8)
    loss = ms.methods.EMGP(16)(encoder, molecules, torch.Generator().manual_seed(0))["loss"]
    loss.backward()
    assert loss < 10
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, "hidden_channels must be a multiple of num_heads; got 8 and 3"),
        ({"num_layers": 0}, "num_layers must be at least 1"),
        ({"max_z": 119}, "max_z must lie in 1..118; got 119"),
        ({"cutoff": 0}, "cutoff must be positive"),
        ({"num_rbf": 1}, "num_rbf must be at least 2"),
        ({"vector_norm": "batch"}, "vector_norm must be"),
        ({"as_released": True}, 'the release has no norm "rms"'),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GET(**({"hidden_channels": 8, "num_layers": 1, "num_heads": 2} | arguments))
