"""Centering and alignment, against scipy, a singular value decomposition and loops."""

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.testing import assert_close

from molspectra.geometry.alignment import kabsch_align, remove_mean
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_molecules, random_orthogonal


def noisy_pair(sizes=(5, 4, 9, 8), std=1.0, dtype=torch.float64):
    torch.manual_seed(0)
    _, pos, batch = random_molecules(sizes, dtype)
    return pos + std * torch.randn_like(pos), pos, batch


def by_svd(pos, onto, allow_reflection):
    """Kabsch's own algorithm, for one molecule."""
    moved, fixed = pos - pos.mean(0), onto - onto.mean(0)
    u, _, vt = torch.linalg.svd(moved.T @ fixed)
    signs = torch.ones(3, dtype=pos.dtype)
    if not allow_reflection:
        signs[2] = torch.linalg.det(u @ vt).sign()
    return moved @ (u * signs) @ vt + onto.mean(0)


def distances(pos):
    return (pos.unsqueeze(0) - pos.unsqueeze(1)).norm(dim=2)


def rmsd(pos, onto):
    return (pos - onto).square().sum(1).mean().sqrt()


def test_remove_mean():
    _, pos, batch = random_molecules((3, 1, 5), torch.float64)
    expected = torch.cat([pos[batch == i] - pos[batch == i].mean(0) for i in range(3)])
    assert_close(remove_mean(pos, batch), expected)
    assert_close(remove_mean(pos, batch, 4), expected)
    assert_close(remove_mean(pos, None), pos - pos.mean(0))


def test_against_scipy():
    pos, onto, batch = noisy_pair()
    actual = kabsch_align(pos, onto, batch)
    for i in range(4):
        moved, fixed = (x[batch == i] - x[batch == i].mean(0) for x in (pos, onto))
        rotation, _ = Rotation.align_vectors(fixed.numpy(), moved.numpy())
        expected = torch.from_numpy(rotation.apply(moved.numpy())) + onto[batch == i].mean(0)
        assert_close(actual[batch == i], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_against_singular_values(allow_reflection, dtype):
    pos, onto, batch = noisy_pair(sizes=(4, 5, 6, 7) * 10, dtype=dtype)
    actual = kabsch_align(pos, onto, batch, allow_reflection=allow_reflection, num_molecules=40)
    one_by_one = [kabsch_align(pos[batch == i], onto[batch == i], allow_reflection=allow_reflection) for i in range(40)]
    assert_close(actual, torch.cat(one_by_one), rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-5)
    expected = torch.cat(
        [by_svd(pos[batch == i].double(), onto[batch == i].double(), allow_reflection) for i in range(40)]
    )
    assert_close(actual.double(), expected, rtol=0, atol=1e-9 if dtype == torch.float64 else 1e-5)
    assert actual.dtype == dtype


@pytest.mark.parametrize("determinant", [1, -1])
def test_a_moved_molecule_comes_back(determinant):
    _, onto, batch = random_molecules((6, 9), torch.float64)
    pos = onto @ random_orthogonal(torch.float64, determinant) + torch.tensor([3.0, -20.0, 100.0])
    assert_close(kabsch_align(pos, onto, batch, allow_reflection=determinant == -1), onto, rtol=0, atol=1e-10)
    if determinant == -1:  # a rotation cannot undo a reflection
        proper = kabsch_align(pos, onto, batch)
        assert all(rmsd(proper[batch == i], onto[batch == i]) > 0.1 for i in range(2))


@pytest.mark.parametrize("allow_reflection", [False, True])
def test_nothing_lies_closer(allow_reflection):
    pos, onto, _ = noisy_pair(sizes=(6,))
    best = kabsch_align(pos, onto, allow_reflection=allow_reflection)
    assert_close(distances(best), distances(pos))
    assert_close(best.mean(0), onto.mean(0))
    centre = best.mean(0)
    for determinant in [1, *([-1] if allow_reflection else [])] * 200:
        turned = (best - centre) @ random_orthogonal(torch.float64, determinant) + centre
        assert rmsd(turned, onto) > rmsd(best, onto)


@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize("name", EDGE_MOLECULES)
def test_edge_molecules(name, allow_reflection):
    """A rigid motion is undone, and noise gives a defined result with unchanged distances."""
    _, onto = edge_molecule(name, torch.float64)
    ordinary = random_molecules((6,), torch.float64)[1]
    both, batch = torch.cat([onto, ordinary]), torch.tensor([0] * len(onto) + [1] * 6)
    moved = both @ random_orthogonal(torch.float64) + 1
    assert_close(kabsch_align(moved, both, batch, allow_reflection=allow_reflection), both, rtol=0, atol=1e-10)
    noisy = both + 0.3 * torch.randn_like(both)
    for pos, fixed in ((noisy, both), (both, noisy), (both, both * 0), (both * 0, both)):
        actual = kabsch_align(pos, fixed, batch, allow_reflection=allow_reflection)
        assert_close(distances(actual[batch == 0]), distances(pos[batch == 0]), rtol=0, atol=1e-10)
        assert_close(actual[batch == 0].mean(0), fixed[batch == 0].mean(0), rtol=0, atol=1e-10)
        assert rmsd(actual[batch == 0], fixed[batch == 0]) <= rmsd(pos[batch == 0], fixed[batch == 0]) + 1e-12


def test_what_needs_no_turn_is_not_turned():
    """The undetermined part of a rotation is the identity."""
    torch.manual_seed(0)
    pos, point = torch.randn(5, 3, dtype=torch.float64), torch.ones(5, 3, dtype=torch.float64)
    assert_close(kabsch_align(pos, point), pos - pos.mean(0) + 1, rtol=0, atol=1e-12)
    # A T-shaped molecule onto a line along its stem: the arms could be anywhere around it.
    tee = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, -1, 0]], dtype=torch.float64)
    line = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 0, 0], [2, 0, 0]], dtype=torch.float64)
    assert_close(kabsch_align(tee, line), tee - tee.mean(0) + line.mean(0), rtol=0, atol=1e-12)


def test_planar_molecules_are_not_mirrored():
    """Mirror image and molecule are equally close, and the proper rotation is taken."""
    torch.manual_seed(0)
    pos, onto = torch.randn(2, 30, 3, dtype=torch.float64)
    batch = torch.arange(10).repeat_interleave(3)
    assert_close(
        kabsch_align(pos, onto, batch, allow_reflection=True), kabsch_align(pos, onto, batch), rtol=0, atol=1e-10
    )


def test_gradient_of_the_squared_distance_is_exact():
    pos, onto, batch = noisy_pair(sizes=(4, 5))
    assert torch.autograd.gradcheck(
        lambda x, y: (kabsch_align(x, y, batch) - y).square().sum(), (pos.requires_grad_(), onto.requires_grad_())
    )
