"""Head of EMPP: published numbers, an implementation by loops, symmetry, and edge cases."""

import math

import pytest
import torch
from torch.nn import functional as F

from molspectra.encoders import AtomFeatures
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.sphere import SphereGrid, SphereHarmonics
from molspectra.testing import random_orthogonal
from tests.oracles.empp import PublishedPositionHead, turned

# Grids of the sizes of the published numbers, in float32 and float64.
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-9}


@pytest.fixture(scope="module")
def published(reference):
    return PublishedPositionHead(reference / "empp")


def random_atoms(rows=5, channels=8, l_max=2, dtype=torch.float32):
    scalars, vectors, *tensors = (torch.randn(rows, 2 * l + 1, channels, dtype=dtype) for l in range(l_max + 1))
    return AtomFeatures(scalars.squeeze(1), vectors, tuple(tensors))


def assert_relative(actual, expected, tolerance):
    scale = expected.abs().max()
    torch.testing.assert_close(actual.to(expected.dtype) / scale, expected / scale, atol=tolerance, rtol=0)


@DTYPES
def test_released_mode_gives_every_published_intermediate(published, dtype):
    numbers, head = published.numbers("head_release_res20_f64"), published.head(20, dtype)
    atoms = published.atoms(dtype)
    features = head.norm(head.lift([atoms.degree(l) for l in range(3)]))
    before_gate = head.linear_in(features)
    gated = head.gate(before_gate)

    def flat(degrees):
        return torch.cat([of_degree.mT.flatten(1) for of_degree in degrees], dim=1)

    coefficients = head.coefficients(atoms)
    predicted = head(atoms)
    actual = {
        "normed": flat(features),
        "pre_gate": flat(before_gate),
        "gated": flat(gated),
        "coeff": coefficients.mT,
        "grid_channels_first2": head.sphere(coefficients[:2]),
        "radius_logit": head.radius(coefficients[:, 0]),
        "log_pred_rad": predicted.radius,
    }
    for name, tensor in actual.items():
        assert_relative(tensor, numbers[name], TOLERANCE[dtype])
    grid = published.numbers("head_release_res20_f64_grid")
    assert_relative(head.direction_logits(coefficients)[:16], grid["grid_logit"], TOLERANCE[dtype])
    assert_relative(predicted.direction[:16], grid["log_pred_dir"], TOLERANCE[dtype])


@DTYPES
def test_released_grid_gives_the_published_numbers(published, dtype):
    numbers, head = published.numbers("head_release_res100_f64"), published.head(100, dtype)
    atoms = published.atoms(dtype).select(numbers["edges_stored"])
    assert_relative(head.direction_logits(head.coefficients(atoms)), numbers["grid_logit"], TOLERANCE[dtype])
    assert_relative(head(atoms).direction, numbers["log_pred_dir"], TOLERANCE[dtype])
    assert len(PositionDistributionHead(8, as_released=True).sphere.points) == 10100


def test_released_mode_and_default_have_the_same_weights_but_for_a_constant(published):
    state = published.head(20, torch.float64).state_dict()
    del state["direction.bias"]
    head = PositionDistributionHead(8).double()
    head.load_state_dict(state)
    atoms = published.atoms(torch.float64)
    assert_relative(head(atoms).radius, published.numbers("head_release_res20_f64")["log_pred_rad"], 1e-9)
    # Only areas differ: without them, both modes are one function of the direction.
    head.sphere = SphereHarmonics(SphereGrid.equal_angle(20, 21), 2).to(head.mix.weight.dtype)
    released = published.head(20, torch.float64)(atoms).direction
    weighted = (released + head.sphere.log_weights).log_softmax(1)
    torch.testing.assert_close(head(atoms).direction, weighted)


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_against_a_loop_with_the_mixing_behind_the_grid(l_max):
    head = PositionDistributionHead(4, l_max, hidden_channels=3, mix_channels=2, num_radii=5, num_polar=4).double()
    atoms = random_atoms(2, 4, l_max, torch.float64)
    predicted, coefficients = head(atoms), head.coefficients(atoms)
    harmonics, log_weights = head.sphere.harmonics, head.sphere.log_weights
    for row in range(2):
        scores = []
        for point in range(len(log_weights)):
            field = [sum(coefficients[row, i, c] * y for i, y in enumerate(harmonics[point])) for c in range(3)]
            score = log_weights[point]
            for k in range(2):
                inner = head.mix.bias[k] + sum(head.mix.weight[k, c] * field[c] for c in range(3))
                score = score + head.direction.weight[0, k] * inner * torch.sigmoid(inner) / 0.1
            scores.append(score)
        torch.testing.assert_close(predicted.direction[row], torch.stack(scores).log_softmax(0))
        hidden = F.silu(head.radius[0](coefficients[row, 0]))
        torch.testing.assert_close(predicted.radius[row], head.radius[2](hidden).log_softmax(0))
    assert predicted.radii.tolist() == [0, 1.5, 3, 4.5, 6]


@pytest.mark.parametrize("l_max", [1, 2, 3])
@pytest.mark.parametrize("given", [1, 2, 3])
@pytest.mark.parametrize("as_released", [False, True])
def test_every_weight_and_every_degree_gets_a_gradient(l_max, given, as_released):
    head = PositionDistributionHead(8, l_max, as_released=as_released, num_polar=8)
    atoms = random_atoms(l_max=given)
    degrees = [tensor.requires_grad_() for tensor in (atoms.scalars, atoms.vectors, *atoms.tensors)][: l_max + 1]
    predicted = head(atoms)
    assert predicted.direction.shape == (5, len(predicted.points))
    assert predicted.radius.shape == (5, 128)
    torch.testing.assert_close(predicted.direction.exp().sum(1), torch.ones(5))
    torch.testing.assert_close(predicted.radius.exp().sum(1), torch.ones(5))
    (predicted.direction[:, 3].sum() + predicted.radius[:, 3].sum()).backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in degrees)
    made = {f"lift.{side}.{l - 2}.weight" for side in ("left", "right") for l in range(2, min(given, l_max) + 1)}
    for name, weight in head.named_parameters():
        assert weight.grad is not None, name
        # Weights of degrees that the encoder gives, and a constant that the softmax cancels, have nothing to learn.
        if name not in made | {"direction.bias"}:
            assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("given", [1, 2, 3])
@pytest.mark.parametrize("sharpness", [1, 3])
def test_the_distribution_turns_with_the_molecule(given, sharpness):
    """Rotate molecule and point: the log-density at the point stays the same, up to the normalization."""
    head = PositionDistributionHead(8, 3).double()
    for weight in head.parameters():
        weight.data *= sharpness
    atoms, turn = random_atoms(l_max=given, dtype=torch.float64), random_orthogonal(torch.float64)
    predicted, moved = head(atoms), head(turned(atoms, turn))
    torch.testing.assert_close(moved.radius, predicted.radius, atol=1e-9, rtol=1e-9)
    grid = SphereGrid(head.sphere.points @ turn.T, head.sphere.log_weights)
    head.sphere = SphereHarmonics(grid, 3).double()
    at_turned_points = head(turned(atoms, turn))
    torch.testing.assert_close(at_turned_points.direction, predicted.direction, atol=1e-8, rtol=1e-8)


@pytest.mark.usefixtures("float32_weights")
def test_a_head_trained_to_point_along_the_vector_points_along_the_turned_vector():
    head = PositionDistributionHead(8)
    atoms = random_atoms(40, l_max=1)
    target = atoms.vectors[:, :, 0] / atoms.vectors[:, :, 0].norm(dim=1, keepdim=True)
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        predicted = head(atoms)
        nearest = (target @ predicted.points.T).argmax(dim=1, keepdim=True)
        (-predicted.direction.gather(1, nearest).mean()).backward()
        optimizer.step()
    turn = random_orthogonal(torch.float64)
    cosine = (head(turned(atoms, turn)).mean_direction() * (target @ turn.float().T)).sum(dim=1)
    assert cosine.mean() > 0.9


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("as_released", [False, True])
def test_no_pair_and_one_pair(rows, as_released):
    head = PositionDistributionHead(8, as_released=as_released)
    atoms = random_atoms(5)
    predicted = head(atoms.select(torch.arange(rows)))
    torch.testing.assert_close(predicted.direction, head(atoms).direction[:rows], atol=1e-4, rtol=1e-5)
    (predicted.direction.sum() + predicted.radius.sum()).backward()
    assert all(weight.grad.isfinite().all() for weight in head.parameters())
    assert predicted.mean_direction().shape == (rows, 3)
    assert predicted.mean_radius().shape == (rows,)


def test_features_of_zero_have_finite_first_and_second_derivatives():
    head = PositionDistributionHead(8)
    scalars, vectors = torch.zeros(2, 8, requires_grad=True), torch.zeros(2, 3, 8, requires_grad=True)
    predicted = head(AtomFeatures(scalars, vectors))
    value = predicted.direction.square().mean() + predicted.radius.square().mean() + predicted.mean_radius().sum()
    first = torch.autograd.grad(value + predicted.mean_direction().sum(), (scalars, vectors), create_graph=True)
    sum(grad.square().sum() for grad in first).backward()
    for tensor in (*predicted, *first, scalars.grad, vectors.grad):
        assert tensor.isfinite().all()


@pytest.mark.usefixtures("float32_weights")
def test_half_precision_around_the_head_changes_nothing():
    head, atoms = PositionDistributionHead(8), random_atoms()
    exact = head(atoms)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = head(atoms)
        from_half = head(AtomFeatures(atoms.scalars.bfloat16(), atoms.vectors.bfloat16()))
    for one, other in zip(predicted, exact, strict=True):
        assert torch.equal(one, other)
    assert all(tensor.dtype == torch.float32 for tensor in from_half)


@pytest.mark.usefixtures("float32_weights")
def test_float64_is_exact_however_it_was_reached():
    head, atoms = PositionDistributionHead(8), random_atoms(dtype=torch.float64)
    expected = head.double()(atoms)
    for one, other in zip(head.float().double()(atoms), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-12)
    assert expected.radii[1].item() == pytest.approx(6 / 127, rel=1e-15)


def test_logarithms_stay_finite_in_a_sharp_distribution():
    head = PositionDistributionHead(8, temperature=1e-3)
    predicted = head(random_atoms())
    assert (predicted.direction.exp() == 0).any()
    assert predicted.direction.isfinite().all()


def test_the_state_holds_weights_alone():
    head = PositionDistributionHead(8, num_polar=6)
    assert set(head.state_dict()) == {name for name, _ in head.named_parameters()}
    assert head.config["num_polar"] == 6
    assert len(head.sphere.points) == 72
    again = PositionDistributionHead(**head.config)
    again.load_state_dict(head.state_dict())
    atoms = random_atoms()
    assert torch.equal(again(atoms).direction, head(atoms).direction)


def test_the_published_number_of_weights():
    def count(scalars, vectors, tensors, hidden=32, mix=16, num_radii=128):
        norm = 2 * scalars + vectors + tensors
        linear_in = (scalars + 1) * (scalars + vectors + tensors) + vectors**2 + tensors**2
        linear_out = (scalars + vectors + tensors) * hidden + hidden
        direction = (hidden + 1) * mix + mix + 1
        return norm + linear_in + linear_out + direction + (hidden + 1) * 2 * hidden + (2 * hidden + 1) * num_radii

    assert count(128, 64, 32) == 52_545
    head = PositionDistributionHead(8, as_released=True)
    assert sum(w.numel() for name, w in head.named_parameters() if not name.startswith("lift")) == count(8, 8, 8)


def test_an_encoder_without_vectors_is_refused():
    with pytest.raises(ValueError, match=r'atom vectors .* prediction="gradient"'):
        PositionDistributionHead(8)(AtomFeatures(torch.randn(2, 8)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"l_max": 0}, "l_max"),
        ({"l_max": 12}, "l_max"),
        ({"temperature": 0.0}, "temperature"),
        ({"max_radius": -1}, "max_radius"),
        ({"max_radius": math.nan}, "max_radius"),
        ({"num_radii": 1}, "num_radii"),
        ({"num_polar": 0}, "num_polar"),
    ],
)
def test_sizes_out_of_range_are_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        PositionDistributionHead(8, **argument)
