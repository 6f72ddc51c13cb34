"""Internal coordinates and their derivatives against published numbers, mpmath-free hand calculations and autograd."""

import math

import pytest
import torch

from molspectra.geometry import defined_terms, internal_coordinates, internal_jacobian, wrap_angle
from tests.conformers import IDS

NONE = torch.empty(4, 0, dtype=torch.int64)
BOND, ANGLE, TORSION = torch.tensor([[0], [1]]), torch.tensor([[0], [1], [2]]), torch.tensor([[0], [1], [2], [3]])


def dense(jacobian):
    """Rows of all terms, (D, N, 3)."""
    rows = []
    for index, derivative in (
        (jacobian.bond_index, jacobian.r),
        (jacobian.angle_index, jacobian.theta),
        (jacobian.torsion_index, jacobian.phi),
    ):
        row = derivative.new_zeros(index.shape[1], jacobian.num_atoms, 3)
        for atom, of_atom in zip(index, derivative, strict=True):
            row[torch.arange(len(atom)), atom] += of_atom.t()
        rows.append(row)
    return torch.cat(rows)


@pytest.mark.parametrize("molecule", IDS)
def test_published_values_and_masks(conformers, molecule):
    terms = conformers.terms(molecule, clean=False)
    pos = conformers("frad/molecules", molecule, "pos")
    for geometry, file, prefix in [(pos, "slide/internal", "")] + [
        (conformers("slide/energy", molecule, f"{kind}.pos"), "slide/energy", f"{kind}.")
        for kind in ("bat", "rad", "cart")
    ]:
        r, theta, phi = internal_coordinates(geometry, *terms)
        torch.testing.assert_close(r, conformers(file, molecule, f"{prefix}r"), rtol=0, atol=1e-14)
        torch.testing.assert_close(theta, conformers(file, molecule, f"{prefix}theta"), rtol=0, atol=3e-11)
        difference = wrap_angle(phi - conformers(file, molecule, f"{prefix}phi"))
        torch.testing.assert_close(difference, torch.zeros_like(phi), rtol=0, atol=1e-13)
        change = wrap_angle(phi - conformers("slide/internal", molecule, "phi"))
        if prefix:
            published = conformers(file, molecule, f"{prefix}dphi_wrapped")
            torch.testing.assert_close(wrap_angle(change - published), torch.zeros_like(phi), rtol=0, atol=1e-13)

    _, angles, torsions = defined_terms(pos, *terms, margin=math.radians(5))
    assert torch.equal(angles, conformers("slide/energy", molecule, "clean_angle"))
    assert torch.equal(torsions, conformers("slide/energy", molecule, "clean_torsion"))
    assert torch.equal(
        conformers("slide/internal", molecule, "torsion_min_sin") > 0,
        defined_terms(pos, *terms)[2] | (terms[2][0] == terms[2][3]),
    )


@pytest.mark.parametrize("molecule", IDS[:19])
def test_published_jacobian_and_products_with_it(conformers, molecule):
    terms = conformers.terms(molecule, clean=False)
    pos = conformers("slide/jacobian", molecule, "pos")
    jacobian = internal_jacobian(pos, *terms)
    valid = conformers("slide/jacobian", molecule, "valid_row")
    published = conformers("slide/jacobian", molecule, "J").unflatten(1, (-1, 3))
    torch.testing.assert_close(dense(jacobian)[valid], published[valid], rtol=0, atol=1e-13)

    directions = torch.randn(2, 5, *pos.shape, dtype=torch.float64)
    rates = torch.cat(jacobian.jvp(directions), dim=-1)
    torch.testing.assert_close(rates[..., valid], torch.einsum("dnx,abnx->abd", published, directions)[..., valid])
    weights = torch.randn(len(valid), dtype=torch.float64) * valid
    product = jacobian.vjp(*weights.split([index.shape[1] for index in terms]))
    torch.testing.assert_close(product, torch.einsum("d,dnx->nx", weights, published))


def test_closed_form_against_automatic_differentiation_once_and_twice():
    pos = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    terms = BOND, ANGLE, TORSION

    def coordinates(x):
        return torch.cat(internal_coordinates(x, *terms))

    torch.testing.assert_close(
        torch.autograd.functional.jacobian(coordinates, pos), dense(internal_jacobian(pos, *terms)).detach()
    )
    assert torch.autograd.gradcheck(coordinates, pos)
    assert torch.autograd.gradgradcheck(coordinates, pos)
    forward = torch.func.jvp(coordinates, (pos.detach(),), (torch.ones_like(pos),))[1]
    torch.testing.assert_close(forward, torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("bend", [1e-12, 1e-8, 1e-4])
@pytest.mark.parametrize("straight", [False, True])
def test_angles_near_0_and_pi_keep_their_digits(bend, straight):
    sign = -1.0 if straight else 1.0
    pos = torch.tensor([[1.0, 0, 0], [0, 0, 0], [sign * math.cos(bend), math.sin(bend), 0]], dtype=torch.float64)
    _, theta, _ = internal_coordinates(pos, NONE[:2], ANGLE, NONE)
    measured = math.pi - theta.item() if straight else theta.item()
    assert measured == pytest.approx(bend, rel=1e-12, abs=5e-16 if straight else 0)
    rows = internal_jacobian(pos, NONE[:2], ANGLE, NONE).theta
    outward = torch.tensor([-math.sin(bend), sign * math.cos(bend), 0.0], dtype=torch.float64)
    torch.testing.assert_close(rows[2, :, 0], outward, atol=1e-15, rtol=0)


def test_sign_and_period_of_torsions():
    pos = torch.tensor([[0.0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]])
    assert internal_coordinates(pos, NONE[:2], NONE[:3], TORSION)[2].item() == pytest.approx(math.pi / 2)
    assert internal_coordinates(pos * torch.tensor([1, 1, -1]), NONE[:2], NONE[:3], TORSION)[2].item() < 0
    differences = torch.tensor([0.1, 2 * math.pi + 0.1, -2 * math.pi - 0.1, math.pi + 0.1, 12 * math.pi])
    wrapped = torch.tensor([0.1, 0.1, -0.1, 0.1 - math.pi, 0.0])
    torch.testing.assert_close(wrap_angle(differences), wrapped, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "pos",
    [
        [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0]],
        [[0, 0, 0], [1, 0, 0], [2, 1e-20, 0], [3, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [2, 1e-8, 0], [3, 3e-8, 1e-8]],
        [[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]],
    ],
    ids=["coincident", "on a line", "half on a line", "off by 1e-20", "off by 1e-8", "folded"],
)
def test_undefined_terms_are_finite(pos, dtype):
    pos = torch.tensor(pos, dtype=dtype, requires_grad=True)
    terms = BOND, ANGLE, TORSION
    values = internal_coordinates(pos, *terms)
    (gradient,) = torch.autograd.grad(sum(value.sum() for value in values), pos, create_graph=True)
    assert all(value.isfinite().all() for value in values)
    assert gradient.isfinite().all()
    jacobian = internal_jacobian(pos.detach(), *terms)
    assert all(rows.isfinite().all() for rows in (jacobian.r, jacobian.theta, jacobian.phi))
    for defined, rows in zip(
        defined_terms(pos.detach(), *terms), (jacobian.r, jacobian.theta, jacobian.phi), strict=True
    ):
        assert (rows[..., ~defined] == 0).all()


def test_a_torsion_that_a_ring_of_three_closes_is_not_defined():
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    closed = torch.tensor([[0, 0], [1, 1], [2, 2], [0, 0]])
    assert not defined_terms(pos, NONE[:2], NONE[:3], closed)[2].any()


def test_several_geometries_at_once():
    pos = torch.randn(3, 2, 4, 3, dtype=torch.float64)
    together = internal_coordinates(pos, BOND, ANGLE, TORSION)
    for value, alone in zip(together, internal_coordinates(pos[1, 0], BOND, ANGLE, TORSION), strict=True):
        assert value.shape == (3, 2, 1)
        torch.testing.assert_close(value[1, 0], alone)
