"""Property heads: dipoles and extents about the center of mass, reference energies of elements."""

import ase.data
import pytest
import torch
from torch_geometric.data import Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.layers.center_of_mass import CenterOfMass
from molspectra.testing import random_molecules, random_orthogonal


def features(atoms, channels=8, dtype=torch.float64):
    return AtomFeatures(torch.randn(atoms, channels, dtype=dtype), torch.randn(atoms, 3, channels, dtype=dtype))


def test_masses_are_those_of_ase():
    center = CenterOfMass().double()
    torch.testing.assert_close(center.masses[1:], torch.from_numpy(ase.data.atomic_masses[1:119].copy()))


def test_center_of_mass_is_that_of_ase():
    z, pos, batch = random_molecules((7, 1, 4), torch.float64)
    centered = CenterOfMass().double()(z, pos, batch)
    for molecule in range(3):
        of_molecule = batch == molecule
        atoms = ase.Atoms(z[of_molecule].numpy(), pos[of_molecule].numpy())
        expected = atoms.positions - atoms.get_center_of_mass()
        torch.testing.assert_close(centered[of_molecule], torch.from_numpy(expected))


def test_dipole_turns_with_the_molecule_and_does_not_move_with_it():
    z, pos, batch = random_molecules((6, 1, 4), torch.float64)
    head, atoms, turn = ms.heads.DipoleHead(8, magnitude=False).double(), features(11), random_orthogonal(torch.float64)
    moment = head(atoms, Data(z=z, pos=pos, batch=batch))
    turned = AtomFeatures(atoms.scalars, turn @ atoms.vectors)
    torch.testing.assert_close(head(turned, Data(z=z, pos=pos @ turn.T + 7, batch=batch)), moment @ turn.T)
    length = ms.heads.DipoleHead(8).double()
    length.load_state_dict(head.state_dict())
    torch.testing.assert_close(
        length(atoms, Data(z=z, pos=pos, batch=batch))[:, 0], moment.norm(dim=1), rtol=1e-5, atol=1e-5
    )


def test_a_dipole_of_zero_is_twice_differentiable():
    z, pos = torch.tensor([6, 6]), torch.tensor([[0.0, 0, -1], [0, 0, 1]], dtype=torch.float64)
    head, scalars = ms.heads.DipoleHead(8).double(), torch.randn(1, 8, dtype=torch.float64).expand(2, 8)
    pos.requires_grad_()
    moment = head(AtomFeatures(scalars), Data(z=z, pos=pos))
    (slope,) = torch.autograd.grad(moment.sum(), pos, create_graph=True)
    slope.square().sum().backward()
    assert pos.grad.isfinite().all()


def test_extent_by_its_formula():
    z, pos, batch = random_molecules((6, 1, 4), torch.float64)
    head, atoms = ms.heads.SpatialExtentHead(8, mean=3.0, std=2.0).double(), features(11)
    expected = []
    for molecule in range(3):
        of_molecule = batch == molecule
        center = ase.Atoms(z[of_molecule].numpy(), pos[of_molecule].numpy()).get_center_of_mass()
        square = (pos[of_molecule] - torch.from_numpy(center)).square().sum(dim=1)
        charge, own = head.mlp(atoms.scalars[of_molecule]).unbind(dim=1)
        expected.append(3 + 2 * (charge * square + own).sum())
    torch.testing.assert_close(head(atoms, Data(z=z, pos=pos, batch=batch))[:, 0], torch.stack(expected))


def test_properties_of_an_encoder_without_vectors():
    z, pos, batch = random_molecules()
    atoms = AtomFeatures(torch.randn(len(z), 8))
    for head in (ms.heads.ScalarHead(8), ms.heads.DipoleHead(8)):
        head(atoms, Data(z=z, pos=pos, batch=batch)).sum().backward()
        assert all(p.grad is not None for p in head.parameters() if p.requires_grad)


def test_references_come_back_from_molecules_made_of_them():
    true = {1: -13.605, 6: -1036.25, 8: -2041.84}
    z, batch = torch.tensor(list(true))[torch.randint(3, (200,))], torch.arange(200) // 5
    energy = torch.zeros(40, dtype=torch.float64).index_add(
        0, batch, torch.tensor([true[e] for e in z.tolist()]).double()
    )
    references = ms.heads.AtomicReferenceEnergies.fit(z, batch, energy)
    assert references.config["elements"] == [1, 6, 8]
    torch.testing.assert_close(torch.tensor(references.config["energies"]), torch.tensor(list(true.values())))
    torch.testing.assert_close(references.half()(None, Data(z=z, batch=batch)), energy, rtol=1e-6, atol=1e-6)
    assert references.table.dtype == torch.float64


def test_references_take_most_of_a_total_energy():
    molecules = ms.data.MiniSpectra("train")
    z, energy = torch.cat([m.z for m in molecules]), torch.cat([m.energy for m in molecules])
    batch = torch.arange(len(molecules)).repeat_interleave(torch.tensor([len(m.z) for m in molecules]))
    rest = energy - ms.heads.AtomicReferenceEnergies.fit(z, batch, energy)(None, Data(z=z, batch=batch))
    assert rest.std() < 2  # eV
    assert energy.std() > 80


@pytest.mark.usefixtures("float32_weights")
def test_a_head_with_references_predicts_totals():
    z, pos, batch = random_molecules((3, 4))
    references = ms.heads.AtomicReferenceEnergies(range(1, 10), [-1000.0 * e for e in range(1, 10)])
    head, atoms = ms.heads.ScalarHead(8, mean=0.5, std=2.0, references=references), features(7, dtype=torch.float32)
    total = head(atoms, Data(z=z, batch=batch))
    head.references = None
    expected = head(atoms, Data(batch=batch)).double()[:, 0] + references(None, Data(z=z, batch=batch))
    torch.testing.assert_close(total[:, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ms.heads.AtomicReferenceEnergies([1, 1], [0.0, 0.0]), "elements must be different"),
        (lambda: ms.heads.AtomicReferenceEnergies([1, 6], [0.0]), "with an energy each; got .* and 1 energies"),
        (lambda: ms.heads.AtomicReferenceEnergies([0], [0.0]), "must lie in 1..118"),
        (
            lambda: ms.heads.AtomicReferenceEnergies([1], [0.0])(None, Data(z=torch.tensor([1, 7, 6]))),
            r"got \[6, 7\] as well. Fit",
        ),
        (
            lambda: ms.heads.AtomicReferenceEnergies.fit(
                torch.tensor([1, 1]), torch.tensor([0, 1]), torch.tensor([torch.nan, 1])
            ),
            "one for each of 2 molecules; got 2 values, 1 of them not finite",
        ),
        (
            lambda: ms.heads.ScalarHead(8, reduce="mean", references=ms.heads.AtomicReferenceEnergies([1], [0.0])),
            'need reduce="sum"',
        ),
        (
            lambda: ms.heads.ScalarHead(8, references=ms.heads.AtomicReferenceEnergies([1], [0.0]))(
                features(2, 8, torch.float32)
            ),
            "need the elements data.z",
        ),
    ],
)
@pytest.mark.usefixtures("float32_weights")
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
