"""Atom features: by degree, in e3nn's layout and back, selected, pooled."""

import pytest
import torch
from e3nn import o3
from torch.utils import _pytree

from molspectra.encoders import AtomFeatures
from molspectra.testing import by_degree, random_orthogonal, wigner


def features(l_max=3, atoms=5, channels=4):
    degrees = [torch.randn(atoms, 2 * degree + 1, channels) for degree in range(l_max + 1)]
    return AtomFeatures(degrees[0].squeeze(1), degrees[1] if l_max else None, tuple(degrees[2:]))


def test_unpacks_as_scalars_and_vectors():
    atoms = features()
    scalars, vectors = atoms
    assert scalars is atoms.scalars
    assert vectors is atoms.vectors


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_e3nn_layout_and_back(l_max):
    atoms = features(l_max)
    assert str(atoms.irreps) == "+".join(f"4x{degree}{'eo'[degree % 2]}" for degree in range(l_max + 1))
    flat = atoms.to_irreps()
    start = 0
    for degree in range(l_max + 1):  # channel-major: the components of a channel stand together
        for channel in range(4):
            width = 2 * degree + 1
            torch.testing.assert_close(flat[:, start : start + width], atoms.degree(degree)[:, :, channel])
            start += width
    assert start == flat.shape[1] == atoms.irreps.dim
    again = AtomFeatures.from_irreps(atoms.irreps, flat)
    assert all(torch.equal(*pair) for pair in zip(by_degree(again), by_degree(atoms), strict=True))


def test_turning_in_e3nn_is_turning_each_degree():
    atoms, turn = features(), random_orthogonal(torch.float64, -1)
    by_e3nn = atoms.to_irreps() @ atoms.irreps.D_from_matrix(turn.float()).T
    ours = AtomFeatures.from_irreps(atoms.irreps, by_e3nn)
    for degree in range(4):
        torch.testing.assert_close(
            ours.degree(degree), wigner(degree, turn).float() @ atoms.degree(degree), atol=1e-4, rtol=1e-4
        )
    torch.testing.assert_close(wigner(1, turn), turn)


@pytest.mark.parametrize("irreps", ["4x0e+2x1o", "4x1o+4x0e", "4x0e+4x2e", "4x0e+4x0e"])
def test_other_layouts_are_refused(irreps):
    with pytest.raises(ValueError, match=r"one width and the degrees 0, 1, 2, .* once each; got"):
        AtomFeatures.from_irreps(irreps, torch.zeros(2, o3.Irreps(irreps).dim))


def test_parity_is_not_looked_at():
    assert AtomFeatures.from_irreps("4x0e+4x1e", torch.zeros(2, 16)).vectors.shape == (2, 3, 4)


def test_a_degree_that_is_not_there():
    with pytest.raises(ValueError, match="degrees 0 to 0; asked for degree 1"):
        features(0).degree(1)


def test_selecting_atoms():
    atoms, index = features(), torch.tensor([3, 0, 3])
    for selected, whole in zip(by_degree(atoms.select(index)), by_degree(atoms), strict=True):
        assert torch.equal(selected, whole[index])
    assert features(0).select(index).vectors is None


def test_tensors_are_found_in_it():
    """By DistributedDataParallel and FSDP, which look through the output of a module for tensors."""
    atoms = features()
    leaves, structure = _pytree.tree_flatten(atoms)
    assert len(leaves) == 4
    again = _pytree.tree_unflatten(leaves, structure)
    assert isinstance(again, AtomFeatures)
    assert again.tensors[1] is atoms.tensors[1]


def test_what_makes_no_features_is_refused():
    scalars, degree_2 = torch.randn(2, 4), torch.randn(2, 5, 4)
    with pytest.raises(ValueError, match="need vectors"):
        AtomFeatures(scalars, None, (degree_2,))
    with pytest.raises(ValueError, match="16"):
        AtomFeatures.from_irreps("4x0e + 4x1o", torch.randn(2, 15))


def test_pooling():
    atoms = AtomFeatures(torch.arange(6.0).reshape(3, 2))
    batch = torch.tensor([0, 0, 2])
    torch.testing.assert_close(atoms.pool(batch), torch.tensor([[2.0, 4.0], [0, 0], [4.0, 5.0]]))
    torch.testing.assert_close(atoms.pool(batch, "mean", 4), torch.tensor([[1.0, 2.0], [0, 0], [4.0, 5.0], [0, 0]]))
    torch.testing.assert_close(atoms.pool(None, "mean"), torch.tensor([[2.0, 3.0]]))


@pytest.mark.usefixtures("no_shape_checks")
def test_pooling_by_something_else_is_refused():
    with pytest.raises(ValueError, match='reduce must be "sum", "mean" or "max"'):
        AtomFeatures(torch.zeros(1, 1)).pool(None, "median")


def test_maximum_over_the_atoms_of_each_molecule():
    scalars, batch = torch.randn(7, 4), torch.tensor([0, 0, 0, 1, 2, 2, 2])
    expected = torch.stack([scalars[batch == molecule].amax(dim=0) for molecule in range(3)])
    assert torch.equal(AtomFeatures(scalars).pool(batch, "max"), expected)
    assert torch.equal(AtomFeatures(scalars[:3]).pool(None, "max"), expected[:1])
