"""The irreps transformer: the shipped suite, e3nn's tensor products, and messages written out edge by edge."""

import math
from itertools import product

import pytest
import torch
from e3nn import o3
from torch.nn import functional as F

from molspectra.encoders.irreps_transformer.attention import IrrepsAttention
from molspectra.encoders.irreps_transformer.degrees import degree_slice
from molspectra.encoders.irreps_transformer.feed_forward import IrrepsFeedForward
from molspectra.encoders.irreps_transformer.model import IrrepsTransformer
from molspectra.encoders.irreps_transformer.norm import IrrepsNorm
from molspectra.encoders.irreps_transformer.softmax import damped_softmax
from molspectra.encoders.irreps_transformer.spherical_harmonics import SphericalHarmonics
from molspectra.encoders.irreps_transformer.steerable_basis import SteerableBasis, coupling_paths
from molspectra.geometry import edge_geometry, radius_graph
from molspectra.layers.radial import ExpNormalBasis
from molspectra.testing import EncoderSuite, edge_molecule, random_molecules, random_orthogonal, wigner


class IrrepsSuite(EncoderSuite):
    def make_encoder_to_compile(self):
        return self.make_encoder(num_layers=1)


class TestVectors(IrrepsSuite):
    def make_encoder(self, num_layers=2):
        return IrrepsTransformer(16, num_layers, num_heads=4, l_max=1, num_rbf=8)


class TestDegree2(IrrepsSuite):
    def make_encoder(self, num_layers=2):
        return IrrepsTransformer(16, num_layers, num_heads=4, l_max=2, num_rbf=8)


class TestDegree3(IrrepsSuite):
    def make_encoder(self, num_layers=2):
        return IrrepsTransformer(8, num_layers, num_heads=2, l_max=3, num_rbf=8, max_z=118)


def random_directions(count=50, dtype=torch.float64):
    return F.normalize(torch.randn(count, 3, dtype=dtype), dim=1)


def irreps_of(l_max):
    return o3.Irreps([(1, (degree, (-1) ** degree)) for degree in range(l_max + 1)])


@pytest.mark.parametrize("l_max", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_spherical_harmonics_equal_those_of_e3nn(l_max, dtype):
    directions = random_directions(dtype=dtype)
    expected = o3.spherical_harmonics(list(range(l_max + 1)), directions, normalize=True, normalization="component")
    actual = SphericalHarmonics(l_max).to(dtype)(directions)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-5)


def test_spherical_harmonics_of_no_direction():
    zero = torch.zeros(1, 3, dtype=torch.float64)
    harmonics = SphericalHarmonics(4).double()
    assert torch.equal(harmonics(zero), F.one_hot(torch.tensor([0]), 25).double())
    inputs = torch.cat([zero, random_directions(2)]).requires_grad_()
    assert torch.autograd.gradcheck(harmonics, inputs)
    assert torch.autograd.gradgradcheck(harmonics, inputs)


def test_constants_keep_all_digits_through_a_change_of_dtype():
    there_and_back = SteerableBasis(3).float().double()
    harmonics = torch.randn(5, 16, dtype=torch.float64)
    for actual, expected in zip(there_and_back(harmonics), SteerableBasis(3).double()(harmonics), strict=True):
        assert torch.equal(actual, expected)
    assert there_and_back.state_dict() == {}


def test_constants_survive_a_module_made_without_data():
    with torch.device("meta"):
        empty = SphericalHarmonics(3)
    harmonics = empty.to_empty(device="cpu")
    assert torch.equal(harmonics(torch.eye(3)), SphericalHarmonics(3)(torch.eye(3)))


@pytest.mark.parametrize("l_max", [1, 2, 3, 4])
def test_paths_equal_the_tensor_product_of_e3nn(l_max):
    """Σ_p w_p B^p x is e3nn's tensor product of x and Y with the weights w, path by path and normalization included."""
    irreps, harmonics = irreps_of(l_max), torch.randn(7, (l_max + 1) ** 2, dtype=torch.float64)
    features = torch.randn(7, (l_max + 1) ** 2, dtype=torch.float64)
    paths = [path for degree in range(l_max + 1) for path in coupling_paths(l_max, degree)]
    couple = o3.TensorProduct(irreps, irreps, irreps, [(*path, "uvu", True) for path in paths], shared_weights=False)
    weights = torch.randn(7, len(paths), dtype=torch.float64)
    expected = couple.double()(features, harmonics, weights)

    bases = SteerableBasis(l_max).double()(harmonics)
    by_target = weights.split([basis.shape[1] for basis in bases], dim=1)
    matrices = torch.cat([torch.einsum("ep,epx->ex", *pair) for pair in zip(by_target, bases, strict=True)], dim=1)
    actual = matrices.unflatten(1, (-1, (l_max + 1) ** 2)) @ features[:, :, None]
    # e3nn computes its constants in the default dtype before they become float64.
    torch.testing.assert_close(actual.squeeze(2), expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("l_max", [1, 2, 3, 4])
def test_every_natural_path_is_there(l_max):
    """As many as e3nn's fully connected tensor product has."""
    irreps = irreps_of(l_max)
    couple = o3.FullyConnectedTensorProduct(irreps, irreps, irreps)
    ours = {path for degree in range(l_max + 1) for path in coupling_paths(l_max, degree)}
    assert {(path.i_in1, path.i_in2, path.i_out) for path in couple.instructions} == ours


def explicit_messages(layer, features, harmonics, edge_index, rbf, envelope, l_max):
    """The attention layer edge by edge, channel by channel and path by path, with e3nn's Wigner 3j symbols."""
    num_atoms, components, channels = features.shape
    paths = [path for degree in range(l_max + 1) for path in coupling_paths(l_max, degree)]

    def linear(module, atom):
        return torch.stack([module.degrees[math.isqrt(row)](atom[row]) for row in range(components)])

    values = [linear(layer.value_proj, atom) for atom in features]
    gathered = torch.zeros_like(features)
    for channel, i in product(range(channels), range(num_atoms)):
        head, group = channel * layer.num_heads // channels, channel * layer.num_filters // channels
        total, message = 0, torch.zeros(components, dtype=features.dtype)
        for edge, (source, target) in enumerate(edge_index.T.tolist()):
            if target != i:
                continue
            ends = layer.target_proj(features[target, 0]) + layer.source_proj(features[source, 0])
            hidden = F.silu(ends + layer.radial_proj(rbf[edge]))
            weight = envelope[edge, 0] * torch.exp(layer.attention_proj(hidden)[head])
            total = total + weight
            path_filters = layer.path_proj(hidden).reshape(layer.num_filters, len(paths))[group]
            for (l1, l2, l3), path_filter in zip(paths, path_filters, strict=True):
                scale = math.sqrt((2 * l3 + 1) / len(coupling_paths(l_max, l3)))
                symbols = scale * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
                x, y = values[source][degree_slice(l1), channel], harmonics[edge, degree_slice(l2)]
                coupled = torch.einsum("abc,a,b->c", symbols, x, y)
                message[degree_slice(l3)] += weight * path_filter * layer.channel_proj(hidden)[channel] * coupled
        gathered[i, :, channel] = message / total
    return torch.stack([linear(layer.out_proj, atom) for atom in gathered])


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_messages_equal_their_equations_written_out(l_max):
    layer = IrrepsAttention(8, num_heads=4, num_rbf=4, l_max=l_max, num_filters=2).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    _, pos, batch = random_molecules((3, 1, 2), torch.float64)
    edge_index = radius_graph(1.5 * pos, batch, 4.0, loop=True)
    distance, direction = edge_geometry(1.5 * pos, edge_index)
    radial = ExpNormalBasis(4, 4.0).double()
    rbf, envelope = radial(distance), radial.envelope(distance).unsqueeze(1)
    features = torch.randn(6, (l_max + 1) ** 2, 8, dtype=torch.float64)
    harmonics = o3.spherical_harmonics(list(range(l_max + 1)), direction, normalize=False, normalization="component")
    with torch.no_grad():
        basis = SteerableBasis(l_max).double()(SphericalHarmonics(l_max).double()(direction))
        actual = layer(features, edge_index, rbf, envelope, basis)
        expected = explicit_messages(layer, features, harmonics, edge_index, rbf, envelope, l_max)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


def test_attention_sums_to_one_and_survives_logits_of_any_size():
    target = torch.tensor([0, 0, 0, 1, 2, 2])
    envelope = torch.tensor([[1.0], [0.5], [0.0], [1.0], [1.0], [1e-7]])
    logits = torch.tensor([[0.0], [1.0], [500.0], [-900.0], [-100.0], [100.0]], requires_grad=True)
    attention = damped_softmax(logits, envelope, target, 3)
    attention.square().sum().backward()
    assert logits.grad.isfinite().all()
    expected = torch.tensor([1 / (1 + 0.5 * math.e), 0.5 * math.e / (1 + 0.5 * math.e), 0, 1, 0, 1]).unsqueeze(1)
    torch.testing.assert_close(attention, expected)


def test_degree_2_is_that_of_the_neighbors():
    """A tetrahedral or cubic site is isotropic up to degree 2; a stretched one is not, along the axis of stretching."""
    encoder = IrrepsTransformer(16, num_layers=2, num_heads=4, num_rbf=8).double()
    z, pos = edge_molecule("tetrahedral", torch.float64)
    center = encoder(z, pos).select(torch.tensor([0]))
    assert center.vectors.abs().max() < 1e-10
    assert center.tensors[0].abs().max() < 1e-10
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    cube = torch.cat([torch.zeros(1, 3, dtype=torch.float64), corners])
    elements = torch.tensor([26] + 8 * [8])
    assert encoder(elements, cube).tensors[0][0].abs().max() < 1e-10
    stretched = encoder(elements, cube * torch.tensor([1, 1.3, 1], dtype=torch.float64)).tensors[0][0]
    along_y = o3.spherical_harmonics(2, torch.tensor([0.0, 1.0, 0.0]), normalize=True).double()
    off_axis = stretched - torch.outer(along_y, along_y @ stretched) / along_y.square().sum()
    assert stretched.abs().max() > 1e-2
    assert off_axis.abs().max() < 1e-10


def test_degree_3_sees_a_tetrahedron():
    encoder = IrrepsTransformer(16, num_layers=1, num_heads=4, l_max=3, num_rbf=8).double()
    center = encoder(*edge_molecule("tetrahedral", torch.float64)).select(torch.tensor([0]))
    assert center.tensors[0].abs().max() < 1e-10
    assert center.tensors[1].abs().max() > 1e-2


@pytest.mark.parametrize("module", [IrrepsNorm(8, 3, eps=0.1), IrrepsFeedForward(8, 3)], ids=["norm", "feed-forward"])
def test_pointwise_modules_are_equivariant(module):
    turn = random_orthogonal(torch.float64, -1)
    matrix = torch.block_diag(*[wigner(degree, turn) for degree in range(4)])
    features = torch.randn(5, 16, 8, dtype=torch.float64)
    module.double()
    torch.testing.assert_close(module(matrix @ features), matrix @ module(features), rtol=0, atol=1e-10)


def test_features_turn_as_their_irreps_say():
    encoder = IrrepsTransformer(8, num_layers=2, num_heads=2, l_max=3, num_rbf=8).double()
    z, pos, batch = random_molecules(dtype=torch.float64)
    turn = o3.rand_matrix(dtype=torch.float64)
    atoms, turned = encoder(z, pos, batch), encoder(z, pos @ turn.T, batch)
    assert atoms.irreps == o3.Irreps("8x0e+8x1o+8x2e+8x3o")
    expected = atoms.to_irreps() @ atoms.irreps.D_from_matrix(turn.float()).double().T
    torch.testing.assert_close(turned.to_irreps(), expected, rtol=0, atol=1e-4)  # e3nn's matrices are float32


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, "hidden_channels must be a multiple of num_heads; got 16 and 3"),
        ({"num_filters": 3}, "hidden_channels must be a multiple of num_filters; got 16 and 3"),
        ({"l_max": 0}, "l_max must lie in 1..4; got 0"),
        ({"l_max": 5}, "l_max must lie in 1..4; got 5"),
        ({"max_z": 119}, "max_z must lie in 1..118; got 119"),
        ({"cutoff": 0}, "cutoff must be positive"),
        ({"num_rbf": 1}, "num_rbf must be at least 2"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        IrrepsTransformer(**({"hidden_channels": 16, "num_layers": 1, "num_heads": 4} | arguments))
