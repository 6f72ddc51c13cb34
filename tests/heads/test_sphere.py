"""Grids on the sphere and spherical harmonics on them."""

import math

import numpy as np
import pytest
import torch

from molspectra.heads.sphere import SphereGrid, SphereHarmonics, harmonics_at

GRIDS = [SphereGrid.gauss_legendre(12), SphereGrid.equal_angle(20, 21), SphereGrid.equal_angle(12, 13)]


@pytest.fixture
def published(reference):
    return lambda name: {
        key: torch.from_numpy(array) for key, array in np.load(reference / "empp" / f"{name}.npz").items()
    }


@pytest.mark.parametrize("name", ["l1_res20", "l2_res20", "l3_res20", "l4_res12", "l2_res100"])
def test_the_grid_of_e3nn(published, name):
    expected = published(f"s2grid_{name}")
    num_polar, num_azimuth = int(expected["res_beta"]), int(expected["res_alpha"])
    grid = SphereGrid.equal_angle(num_polar, num_azimuth)
    torch.testing.assert_close(grid.points, expected["points"].flatten(0, 1), atol=1e-14, rtol=0)
    area = expected["area_weight_beta"].repeat_interleave(num_azimuth) / (4 * math.pi)
    torch.testing.assert_close(grid.log_weights.exp(), area, atol=0, rtol=1e-12)
    harmonics = harmonics_at(grid.points, int(expected["lmax"]))
    torch.testing.assert_close(harmonics, expected["coeff_to_grid"], atol=1e-13, rtol=0)


def test_the_published_areas(published):
    expected = published("labels")["log_area_weight"]
    log_weights = SphereGrid.equal_angle(20, 21).log_weights
    shift = expected[0] - log_weights[0]
    torch.testing.assert_close(log_weights + shift, expected, atol=1e-9, rtol=0)


def test_the_published_harmonics(published):
    expected = published("spherical_harmonics")
    torch.testing.assert_close(harmonics_at(expected["vec"], 3), expected["Y_integral_normTrue"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
def test_points_lie_on_the_sphere_and_share_its_area(grid):
    torch.testing.assert_close(grid.points.norm(dim=1), torch.ones(len(grid.points), dtype=torch.float64))
    assert grid.log_weights.exp().sum().item() == pytest.approx(1, abs=1e-14)
    assert len(grid.points.unique(dim=0)) == len(grid.points)
    flat = grid.unweighted().log_weights
    assert flat.unique().tolist() == pytest.approx([-math.log(len(grid.points))])


@pytest.mark.parametrize("num_polar", [1, 2, 5, 16])
def test_gauss_legendre_is_exact_for_polynomials_by_the_moments_of_the_sphere(num_polar):
    grid = SphereGrid.gauss_legendre(num_polar)
    assert grid.points.shape == (2 * num_polar**2, 3)
    weights = grid.log_weights.exp()

    def moment(power):  # ⟨x^a y^b z^c⟩ by double factorials
        if any(p % 2 for p in power):
            return 0.0
        odd_factorial = [math.prod(range(p - 1, 0, -2)) for p in power]
        return math.prod(odd_factorial) / math.prod(range(sum(power) + 1, 0, -2))

    for a in range(2 * num_polar):
        for b in range(2 * num_polar - a):
            power = (a, b, 2 * num_polar - 1 - a - b)
            actual = (weights * (grid.points ** torch.tensor(power)).prod(dim=1)).sum().item()
            assert actual == pytest.approx(moment(power), abs=1e-14)


def test_e3nns_cells_are_exact_areas():
    grid = SphereGrid.equal_angle(6, 7)
    for ring in range(6):
        edges = math.pi * ring / 6, math.pi * (ring + 1) / 6
        expected = (math.cos(edges[0]) - math.cos(edges[1])) / 2 / 7
        assert grid.log_weights.exp()[7 * ring : 7 * ring + 7].tolist() == pytest.approx([expected] * 7, rel=1e-12)


@pytest.mark.parametrize("make", [lambda: SphereGrid.gauss_legendre(0), lambda: SphereGrid.equal_angle(4, 0)])
def test_a_grid_without_points_is_refused(make):
    with pytest.raises(ValueError, match="num_polar and num_azimuth .* must be at least 1"):
        make()


def test_a_signal_by_a_loop():
    grid, coefficients = SphereGrid.gauss_legendre(3), torch.randn(2, 9, 4, dtype=torch.float64)
    values = SphereHarmonics(grid, l_max=2).double()(coefficients)
    x, y, z = grid.points[7].tolist()
    # Orthonormal harmonics in e3nn's order: 1; x, y, z; and the five of degree 2.
    harmonics = [math.sqrt(1 / (4 * math.pi)), *(math.sqrt(3 / (4 * math.pi)) * c for c in (x, y, z))]
    second = [
        math.sqrt(3) * x * z,
        math.sqrt(3) * x * y,
        y * y - (x * x + z * z) / 2,
        math.sqrt(3) * y * z,
        math.sqrt(3) / 2 * (z * z - x * x),
    ]
    harmonics += [math.sqrt(5 / (4 * math.pi)) * value for value in second]
    expected = sum(value * coefficients[1, i, 2].item() for i, value in enumerate(harmonics))
    assert values[1, 2, 7].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.usefixtures("float32_weights")
def test_constants_stay_exact_when_the_module_is_cast_and_do_not_enter_its_state():
    grid = SphereGrid.gauss_legendre(4)
    sphere = SphereHarmonics(grid, l_max=2)
    assert sphere.points.dtype == torch.float32
    sphere.half().to(torch.bfloat16).float().double()
    assert torch.equal(sphere.points, grid.points)
    assert sphere.harmonics.dtype == torch.float64
    assert sphere.state_dict() == {}
