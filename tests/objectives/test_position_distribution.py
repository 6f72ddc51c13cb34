"""EMPP's loss: published numbers, an oracle by loops, invariance and edge cases."""

import math

import numpy as np
import pytest
import torch

from molspectra.encoders import AtomFeatures
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.sphere import SphereGrid, SphereHarmonics
from molspectra.layers import PositionDistribution
from molspectra.objectives.position_distribution import PositionDistributionLoss, legendre_delta
from molspectra.testing import random_orthogonal
from tests.oracles import empp
from tests.oracles.empp import PublishedPositionHead, turned

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}
PUBLISHED_GRADIENTS = {
    "norm_position__affine_weight": "norm.weight",
    "norm_position__affine_bias": "norm.bias",
    "fc_focus1__bias__0": "linear_in.degrees.0.bias",
    "fc_position__bias__0": "linear_out.degrees.0.bias",
    **{f"fc_logit__{i}__{p}": f"{n}.{p}" for i, n in ((0, "mix"), (2, "direction")) for p in ("weight", "bias")},
    **{f"fc_radius__{i}__{p}": f"radius.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")},
}


@pytest.fixture(scope="module")
def published(reference):
    return PublishedPositionHead(reference / "empp")


def assert_relative(actual, expected, tolerance):
    scale = expected.abs().max()
    torch.testing.assert_close(actual.to(expected.dtype) / scale, expected / scale, atol=tolerance, rtol=0)


def random_prediction(rows, num_polar=6, num_radii=9, dtype=torch.float64, leaf=False):
    grid = SphereGrid.gauss_legendre(num_polar)
    direction, radius = (torch.randn(rows, n, dtype=dtype) for n in (len(grid.points), num_radii))
    radii = torch.linspace(0, 6, num_radii, dtype=dtype)
    logs = [tensor.log_softmax(1).detach().requires_grad_(leaf) for tensor in (direction, radius)]
    return PositionDistribution(*logs, grid.points.to(dtype), grid.log_weights.to(dtype), radii)


def random_atoms(rows=5, channels=8, l_max=2, dtype=torch.float64):
    scalars, vectors, *tensors = (torch.randn(rows, 2 * l + 1, channels, dtype=dtype) for l in range(l_max + 1))
    return AtomFeatures(scalars.squeeze(1), vectors, tuple(tensors))


@DTYPES
@pytest.mark.parametrize("num_polar", [20, 100])
def test_released_mode_gives_the_published_losses_and_gradients(published, num_polar, dtype):
    numbers = published.numbers(f"head_release_res{num_polar}_f64")
    head, loss = published.head(num_polar, dtype), PositionDistributionLoss(as_released=True)
    nodes, displacement = published.nodes(dtype), published.displacement.to(dtype)
    predicted = head(published.atoms(dtype, nodes))
    direction, radius = loss.per_pair(predicted, displacement)
    assert_relative(direction, numbers["kl_dir"], TOLERANCE[dtype])
    assert_relative(radius, numbers["kl_rad"], TOLERANCE[dtype])
    total = loss(predicted, displacement)
    assert_relative(total, numbers["loss"], TOLERANCE[dtype])
    total.backward()
    # The published gradients in float32 have an error of this size, too.
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    assert_relative(nodes.grad, numbers["grad_node_features"], tolerance)
    if num_polar == 20:
        check_published_weight_gradients(head, numbers, tolerance)


def check_published_weight_gradients(head, numbers, tolerance):
    gradients = {name: weight.grad.flatten() for name, weight in head.named_parameters()}
    for theirs, ours in PUBLISHED_GRADIENTS.items():
        expected = numbers[f"grad_param__{theirs}"].flatten()
        # The gradient of a constant under the softmax is rounding.
        if ours == "direction.bias":
            assert gradients[ours].abs().max() < 1e-4
        else:
            assert_relative(gradients[ours], expected, tolerance)
    for theirs, ours in (("fc_focus1", "linear_in"), ("fc_position", "linear_out")):
        weights = [head.get_parameter(f"{ours}.degrees.{l}.weight").grad.T.flatten() for l in range(3)]
        assert_relative(torch.cat(weights), numbers[f"grad_param__{theirs}__tp__weight"], tolerance)


@pytest.mark.parametrize("num_polar", [20, 100])
def test_the_published_loss_with_a_gaussian_of_distances(published, num_polar):
    numbers = published.numbers(f"head_release_res{num_polar}_f64")
    predicted = published.head(num_polar, torch.float64)(published.atoms(torch.float64))
    loss = PositionDistributionLoss(reduce="pair")
    direction, radius = loss.per_pair(predicted, published.displacement)
    assert_relative(direction, numbers["kl_dir"], 1e-9)
    assert_relative(radius, numbers["kl_rad_gauss"], 1e-9)
    assert_relative(loss(predicted, published.displacement), numbers["loss_anon_dec2024"], 1e-9)


def test_the_published_single_precision_numbers(published):
    numbers = published.numbers("head_release_res100_f32")
    predicted = published.head(100, torch.float32)(published.atoms(torch.float32))
    loss = PositionDistributionLoss(as_released=True)
    direction, radius = loss.per_pair(predicted, published.displacement.float())
    assert_relative(direction, numbers["kl_dir"], 1e-5)
    assert_relative(radius, numbers["kl_rad"], 1e-5)
    assert_relative(loss(predicted, published.displacement.float()), numbers["loss"], 1e-5)


def label_of(loss, displacement, predicted):
    """Labels, from the gradient of the divergence: ∂KL/∂log q = -p."""
    leaves = [predicted.direction.detach().requires_grad_(), predicted.radius.detach().requires_grad_()]
    divergences = loss.per_pair(predicted._replace(direction=leaves[0], radius=leaves[1]), displacement)
    return [-torch.autograd.grad(kl.sum(), leaf)[0] for kl, leaf in zip(divergences, leaves, strict=True)]


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_published_labels_of_directions(published, temperature, weighted):
    labels = published.numbers("labels")
    grid = SphereGrid.equal_angle(20, 21)
    grid = grid if weighted else grid.unweighted()
    direction = torch.zeros(8, 420, dtype=torch.float64)
    predicted = PositionDistribution(direction, direction[:, :3], *grid, direction[0, :3])
    actual, _ = label_of(PositionDistributionLoss(temperature), labels["directions"] * 1.7, predicted)
    name = f"label_unit{'_areaweighted' if weighted else ''}_T{str(temperature).replace('.', 'p')}"
    torch.testing.assert_close(actual, labels[name], atol=1e-12, rtol=1e-9)
    if not weighted:
        entropy = -(actual * actual.clamp(min=1e-300).log()).sum(dim=1)
        torch.testing.assert_close(entropy, labels[f"entropy_{name.removeprefix('label_')}"], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("as_released", "name"), [(False, "gauss"), (True, "release")])
def test_the_published_labels_of_distances(published, as_released, name):
    labels = published.numbers("labels")
    distances = labels["radius_distances"]
    displacement = torch.stack([distances, 0 * distances, 0 * distances], dim=1)
    zeros = torch.zeros(len(distances), 128, dtype=torch.float64)
    grid = SphereGrid.gauss_legendre(4)
    predicted = PositionDistribution(zeros[:, :32], zeros, *grid, labels["radius_bins"])
    _, actual = label_of(PositionDistributionLoss(as_released=as_released), displacement, predicted)
    torch.testing.assert_close(actual, labels[f"radius_label_{name}"], atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("l_max", [1, 2, 3])
@pytest.mark.parametrize("as_released", [False, True])
def test_against_loops(l_max, as_released):
    predicted = random_prediction(6)
    displacement = torch.randn(6, 3, dtype=torch.float64) * 2
    displacement[2] = 0
    molecule = [0, 3, 3, 0, 3, 1]
    loss = PositionDistributionLoss(0.3, 0.7, l_max, "molecule", radius_weight=0.5, as_released=as_released)
    totals = []
    for row in range(6):
        vector = displacement[row].tolist()
        label = empp.direction_label(vector, predicted.points.tolist(), predicted.log_weights.tolist(), 0.3, l_max)
        of_distance = empp.radius_label(vector, predicted.radii.tolist(), 0.7, as_released)
        direction = empp.divergence(label, predicted.direction[row].tolist())
        radius = empp.divergence(of_distance, predicted.radius[row].tolist())
        per_pair = loss.per_pair(predicted, displacement)
        assert [kl[row].item() for kl in per_pair] == pytest.approx([direction, radius], rel=1e-10)
        totals.append(direction + 0.5 * radius)
    by_molecule = empp.mean_by_molecule(totals, molecule)
    index = torch.tensor(molecule)
    for num_molecules in (None, 4, 9):
        assert loss(predicted, displacement, index, num_molecules).item() == pytest.approx(by_molecule)
    assert loss(predicted, displacement).item() == pytest.approx(sum(totals) / 6)
    loss.reduce = "pair"
    assert loss(predicted, displacement, index).item() == pytest.approx(sum(totals) / 6)


def test_reductions_by_default():
    assert PositionDistributionLoss().reduce == "molecule"
    assert PositionDistributionLoss(as_released=True).reduce == "pair"
    assert PositionDistributionLoss(reduce="molecule", as_released=True).reduce == "molecule"


@pytest.mark.parametrize("l_max", [1, 2, 3, 5])
def test_the_addition_theorem(l_max):
    grid = SphereGrid.gauss_legendre(5)
    harmonics = SphereHarmonics(grid, l_max).double().harmonics
    expected = harmonics @ harmonics.T
    torch.testing.assert_close(legendre_delta(grid.points @ grid.points.T, l_max), expected, atol=1e-12, rtol=0)


def test_a_prediction_equal_to_the_label_costs_nothing_and_the_means_are_right():
    head, loss = PositionDistributionHead(8), PositionDistributionLoss(temperature=0.05)
    displacement = torch.randn(6, 3, dtype=torch.float64)
    displacement *= torch.linspace(1.6, 4, 6, dtype=torch.float64).unsqueeze(1) / displacement.norm(dim=1, keepdim=True)
    predicted = head.double()(random_atoms(6))
    labels = [label.log() for label in label_of(loss, displacement, predicted)]
    predicted = predicted._replace(direction=labels[0], radius=labels[1])
    assert abs(loss(predicted, displacement).item()) < 1e-12
    direction = displacement / displacement.norm(dim=1, keepdim=True)
    torch.testing.assert_close(predicted.mean_direction(), direction, atol=1e-4, rtol=0)
    torch.testing.assert_close(predicted.mean_radius(), displacement.norm(dim=1), atol=2e-3, rtol=0)


@torch.no_grad()
def invariance_error(head, loss, atoms, displacement, rotations):
    """Largest relative change of the loss, and of a pair's divergences, under rotations."""
    expected = loss.per_pair(head(atoms), displacement)
    total = loss(head(atoms), displacement)
    of_loss, of_pairs = 0.0, 0.0
    for turn in rotations:
        predicted = head(turned(atoms, turn))
        moved = displacement @ turn.to(displacement.dtype).T
        of_loss = max(of_loss, float((loss(predicted, moved) / total - 1).abs()))
        for actual, before in zip(loss.per_pair(predicted, moved), expected, strict=True):
            of_pairs = max(of_pairs, float((actual / before - 1).abs().max()))
    return of_loss, of_pairs


@pytest.mark.parametrize(("given", "l_max"), [(1, 1), (1, 2), (2, 2), (1, 3), (3, 3)])
@pytest.mark.parametrize("sharpness", [1, 3])
@DTYPES
def test_the_loss_is_invariant_under_rotation(given, l_max, sharpness, dtype):
    head, loss = PositionDistributionHead(16, l_max), PositionDistributionLoss(l_max=l_max)
    head.direction.weight.data *= sharpness
    atoms, displacement = random_atoms(12, 16, given, dtype), 2 * torch.randn(12, 3, dtype=dtype)
    rotations = [random_orthogonal(torch.float64) for _ in range(8)]
    of_loss, of_pairs = invariance_error(head.to(dtype), loss, atoms, displacement, rotations)
    assert of_loss < 1e-4
    assert of_pairs < 1e-4


def test_the_published_features_turned(published, reference):
    """The released loss changes under rotation as published, by 12 %. With areas and 16 rings it does not change."""
    numbers = dict(np.load(reference / "empp" / "equivariance.npz"))
    released, loss = published.head(20, torch.float64), PositionDistributionLoss(as_released=True)
    weighted = published.head(20, torch.float64)
    weighted.sphere = SphereHarmonics(SphereGrid.equal_angle(20, 21), 2).double()
    ours = published.head(20, torch.float64)
    ours.sphere = SphereHarmonics(SphereGrid.gauss_legendre(16), 2).double()
    atoms = published.atoms(torch.float64)

    def directions(turn):
        moved, displacement = turned(atoms, turn), published.displacement @ turn.T
        return [loss.per_pair(head(moved), displacement)[0].mean().item() for head in (released, weighted, ours)]

    unturned = directions(torch.eye(3, dtype=torch.float64))
    assert unturned[:2] == pytest.approx(numbers["loss0_res20"][:2].tolist(), rel=1e-9)
    expected = numbers["loss_res20_columns_unit_unitaw_raw_rawaw"]
    turned_losses = np.array([directions(torch.from_numpy(turn)) for turn in numbers["R"]])
    np.testing.assert_allclose(turned_losses[:, :2], expected[:, :2], rtol=1e-6)
    change = abs(turned_losses / unturned - 1).max(axis=0)
    assert change[0] > 0.1
    assert change[2] < 1e-7


def test_coincident_atoms_and_atoms_far_apart_are_finite():
    predicted = random_prediction(5, dtype=torch.float32, leaf=True)
    displacement = torch.tensor([[0, 0, 0], [1e-30, 0, 0], [1e-22, 0, 0], [50.0, 0, 0], [0, 1e-3, 0]])
    loss = PositionDistributionLoss()
    loss(predicted, displacement, torch.tensor([0, 0, 1, 1, 2])).backward()
    for leaf in predicted[:2]:
        assert leaf.grad.isfinite().all()
    direction, radius = label_of(loss, displacement, predicted)
    torch.testing.assert_close(direction[0], predicted.log_weights.exp())
    assert radius[3].argmax() == len(predicted.radii) - 1


@pytest.mark.parametrize("reduce", ["pair", "molecule"])
@pytest.mark.parametrize("num_molecules", [None, 3])
def test_no_pairs_is_zero_with_zero_gradient(reduce, num_molecules):
    head = PositionDistributionHead(8).double()
    nothing = torch.zeros(0, dtype=torch.int64)
    loss = PositionDistributionLoss(reduce=reduce)
    value = loss(head(random_atoms().select(nothing)), torch.zeros(0, 3).double(), nothing, num_molecules)
    assert value == 0
    value.backward()
    assert all(weight.grad.eq(0).all() for weight in head.parameters())


def test_labels_have_no_gradient_and_float64_positions_do_not_spread():
    displacement = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    predicted = random_prediction(4, dtype=torch.float32, leaf=True)
    value = PositionDistributionLoss()(predicted, displacement)
    assert value.dtype == torch.float32
    value.backward()
    assert displacement.grad is None


def test_autocast_changes_nothing():
    head, loss = PositionDistributionHead(8), PositionDistributionLoss()
    atoms, displacement = random_atoms(dtype=torch.float32), torch.randn(5, 3)
    exact = loss(head(atoms), displacement)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(head(atoms), displacement), exact)


@pytest.mark.parametrize("given", [1, 2])
def test_first_and_second_derivatives_of_head_and_loss(given):
    head = PositionDistributionHead(2, 2, hidden_channels=2, mix_channels=2, num_radii=3, num_polar=2).double()
    loss = PositionDistributionLoss(temperature=0.5)
    atoms, displacement = random_atoms(2, 2, given), torch.randn(2, 3, dtype=torch.float64)
    names, weights = zip(*head.named_parameters(), strict=True)

    def compute(scalars, vectors, *others):
        tensors, values = others[: given - 1], others[given - 1 :]
        predicted = torch.func.functional_call(
            head, dict(zip(names, values, strict=True)), AtomFeatures(scalars, vectors, tensors)
        )
        return loss(predicted, displacement, torch.tensor([0, 1]), 2)

    features = [tensor.requires_grad_() for tensor in (atoms.scalars, atoms.vectors, *atoms.tensors)]
    assert torch.autograd.gradcheck(compute, (*features, *weights))
    fixed = [weight.detach() for weight in weights]
    assert torch.autograd.gradgradcheck(lambda *tensors: compute(*tensors, *fixed), features)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"temperature": 0}, "temperature"),
        ({"radius_std": math.nan}, "radius_std"),
        ({"l_max": 0}, "l_max"),
    ],
)
def test_arguments_out_of_range_are_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        PositionDistributionLoss(**argument)


@pytest.mark.usefixtures("no_shape_checks")
def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduce"):
        PositionDistributionLoss(reduce="batch")
