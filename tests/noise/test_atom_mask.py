"""Atom masks: published numbers, statistics and edge cases."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import molspectra as ms
from molspectra.noise import AtomMask, EMPPMask, masked_pairs
from molspectra.testing import EDGE_MOLECULES, edge_molecule


def molecules(sizes=(3, 1, 6, 2)):
    """Chains of hydrogens, each bonded to the next, with one heavier atom if there are three or more."""
    return Batch.from_data_list(
        [
            Data(
                z=torch.tensor([8, *[1] * (size - 1)] if size > 2 else [1] * size),
                pos=torch.randn(size, 3),
                bond_index=torch.stack([torch.arange(size - 1), torch.arange(1, size)]),
                bond_order=torch.rand(size - 1),
                label=torch.randn(1),
            )
            for size in sizes
        ]
    )


def delete_atom(data, atom):
    """Remove one atom of one molecule, atom by atom and bond by bond."""
    rows = [row for row in range(len(data.z)) if row != atom]
    bonds = [(rows.index(int(i)), rows.index(int(j))) for i, j in data.bond_index.T if atom not in (int(i), int(j))]
    orders = [float(data.bond_order[n]) for n, bond in enumerate(data.bond_index.T) if atom not in bond.tolist()]
    return data.z[rows], data.pos[rows], bonds, orders


class Published:
    """Published masks: K copies of four molecules, with the permutations that gave them."""

    def __init__(self, folder, num_copies):
        arrays = np.load(folder / "empp" / "masking.npz")
        self.arrays = {name: torch.from_numpy(arrays[name]) for name in arrays}
        self.num_copies = num_copies
        sizes = self.arrays["ptr"].diff().tolist()
        parts = [self.arrays[name].split(sizes) for name in ("z", "pos")]
        self.batch = Batch.from_data_list([Data(z=z, pos=pos) for z, pos in zip(*parts, strict=True)])
        permutations = self.arrays[f"k{num_copies}_perm_flat"].split(sizes)
        starts = self.arrays["ptr"].tolist()
        self.masked_atom = torch.tensor(
            [
                [start + int(permutation[c]) for start, permutation in zip(starts, permutations, strict=False)]
                for c in range(num_copies)
            ]
        ).flatten()

    def copy(self, number, name):
        return self.arrays[f"k{self.num_copies}_c{number}_{name}"]


@pytest.fixture(params=[1, 3])
def published(request, reference):
    return Published(reference, request.param)


def test_published_masks(published):
    masked = AtomMask().mask(published.batch, published.masked_atom)
    num_copies, num_rows = published.num_copies, 50 - 4
    assert masked.num_graphs == 4 * num_copies
    assert torch.equal(masked.source_batch, torch.arange(4).repeat(num_copies))
    for number in range(num_copies):
        rows, copies = slice(number * num_rows, (number + 1) * num_rows), slice(4 * number, 4 * number + 4)
        assert torch.equal(masked.z[rows], published.copy(number, "z"))
        assert torch.equal(masked.pos[rows], published.copy(number, "pos"))
        assert torch.equal(masked.batch[rows] - 4 * number, published.copy(number, "batch"))
        assert torch.equal(masked.kept[rows], published.copy(number, "keep_index"))
        assert torch.equal(masked.masked_atom[copies], published.copy(number, "mask_index"))
        assert torch.equal(masked.masked_z[copies], published.copy(number, "mask_z"))
        assert torch.equal(masked.masked_pos[copies], published.copy(number, "mask_pos"))


def test_published_pairs(published):
    masked = AtomMask().mask(published.batch, published.masked_atom)
    pairs = masked_pairs(masked, cutoff=5.0)
    start = 0
    for number in range(published.num_copies):
        atom, molecule = published.copy(number, "edge_index")
        of_copy = slice(start, start + len(atom))
        start += len(atom)
        assert torch.equal(pairs.atom[of_copy] - 46 * number, atom)
        assert torch.equal(pairs.molecule[of_copy] - 4 * number, molecule)
        expected = published.copy(number, "mask_pos")[molecule] - published.copy(number, "pos")[atom]
        torch.testing.assert_close(pairs.displacement[of_copy], expected)
    assert start == len(pairs.atom)


@pytest.mark.parametrize("num_copies", [1, 2])
def test_a_batch_is_its_molecules_one_by_one(num_copies, generator):
    batch = molecules()
    masked = AtomMask(num_copies, labels=("label",))(batch, generator())
    z, pos, bonds, orders, batch_vector = [], [], [], [], []
    for copy, (atom, source) in enumerate(zip(masked.masked_atom, masked.source_batch, strict=True)):
        molecule = batch.get_example(int(source))
        left = delete_atom(molecule, int(atom - batch.ptr[source]))
        bonds += [(i + sum(map(len, z)), j + sum(map(len, z))) for i, j in left[2]]
        z.append(left[0])
        pos.append(left[1])
        orders += left[3]
        batch_vector += [copy] * len(left[0])
        assert masked.masked_z[copy] == batch.z[atom]
        assert masked.label[copy] == molecule.label
    assert torch.equal(masked.z, torch.cat(z))
    assert torch.equal(masked.pos, torch.cat(pos))
    assert torch.equal(masked.masked_pos, batch.pos[masked.masked_atom])
    assert masked.batch.tolist() == batch_vector
    assert [tuple(bond) for bond in masked.bond_index.T.tolist()] == bonds
    assert masked.bond_order.tolist() == orders
    assert masked.ptr.diff().tolist() == torch.bincount(masked.batch, minlength=4 * num_copies).tolist()
    assert torch.equal(masked.z, batch.z[masked.kept])


def test_copies_lack_different_atoms_as_long_as_there_are_any(generator):
    batch = molecules((3, 1, 6, 2))
    for seed in range(20):
        drawn = AtomMask(num_copies=4).draw(batch, generator(seed)).view(4, 4)
        distinct = [len(set(drawn[:, molecule].tolist())) for molecule in range(4)]
        assert distinct == [3, 1, 4, 2]
        assert drawn[3, 0] == drawn[0, 0]  # starts over
        assert torch.equal(batch.batch[drawn], torch.arange(4).expand(4, 4))


def test_every_atom_is_as_likely_as_any_other(generator):
    """χ² test of the first copy, and of the second given the first, with a fixed seed."""
    size, number = 5, 20_000
    batch = Batch(
        z=torch.tensor([8, 1, 1, 6, 1]).repeat(number),
        pos=torch.zeros(size * number, 3),
        batch=torch.arange(number).repeat_interleave(size),
        ptr=torch.arange(0, size * number + 1, size),
    )
    first, second = AtomMask(num_copies=2).draw(batch, generator()).view(2, number) % size
    counts = torch.bincount(first * size + second, minlength=size**2).view(size, size).double()
    assert (counts.diagonal() == 0).all()
    expected = number / (size * (size - 1))
    chi2 = ((counts - expected).square() / expected)[~torch.eye(size, dtype=torch.bool)].sum()
    assert chi2 < 43.8  # 99.9 % quantile for 19 degrees of freedom


def test_heavy_only(generator):
    batch = molecules((3, 1, 6, 2))
    batch.z[8] = 6  # two heavy atoms in the third molecule
    seen = [set() for _ in range(4)]
    for seed in range(60):
        for copy in AtomMask(num_copies=2, heavy_only=True).draw(batch, generator(seed)).view(2, 4):
            for molecule, atom in enumerate(copy.tolist()):
                seen[molecule].add(atom)
    assert seen == [{0}, {3}, {4, 8}, {10, 11}]


def test_one_molecule_as_a_transform():
    dataset = ms.data.MiniSpectra("validation", transform=AtomMask(labels=("gap",)))[:6]
    one = dataset[3]
    assert type(one) is Data
    assert one.batch is None
    assert one.num_nodes == ms.data.MiniSpectra("validation")[3].num_nodes - 1
    ms.data.validate(one)
    batch = next(iter(DataLoader(dataset, batch_size=6)))
    assert torch.equal(batch.source_batch, torch.arange(6))
    assert torch.equal(batch.gap, torch.stack([molecule.gap[0] for molecule in ms.data.MiniSpectra("validation")[:6]]))
    ms.data.validate(batch)
    pairs = masked_pairs(batch, 5.0)
    torch.testing.assert_close(pairs.displacement + batch.pos[pairs.atom], batch.masked_pos[pairs.molecule])
    # Several copies of one molecule are a batch.
    assert AtomMask(num_copies=3)(one).num_graphs == 3


@pytest.mark.parametrize("name", EDGE_MOLECULES)
@pytest.mark.parametrize("num_copies", [1, 3])
def test_edge_molecules(name, num_copies, generator):
    z, pos = edge_molecule(name)
    alone, ordinary = Data(z=z, pos=pos), Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3))
    for batch in (alone, Batch.from_data_list([alone]), Batch.from_data_list([ordinary, alone])):
        masked = AtomMask(num_copies)(batch, generator())
        num_molecules = 2 if len(batch.z) > len(z) else 1
        assert masked.masked_z.shape == (num_copies * num_molecules,)
        assert masked.pos.shape == (num_copies * (len(batch.z) - num_molecules), 3)
        pairs = masked_pairs(masked, 5.0)
        assert pairs.displacement.isfinite().all()
        assert (pairs.displacement.norm(dim=1) < 5).all()
        if name == "apart" and num_molecules == 1:
            assert len(pairs.atom) == 0


def test_lone_atoms_leave_nothing_but_are_counted():
    batch = Batch.from_data_list([Data(z=torch.tensor([n]), pos=torch.randn(1, 3)) for n in (1, 2, 3)])
    masked = AtomMask(2)(batch)
    assert masked.z.shape == (0,)
    assert masked.num_graphs == 6
    assert masked.masked_z.tolist() == [1, 2, 3, 1, 2, 3]
    assert len(masked_pairs(masked, 5.0).atom) == 0
    # No atom of the last molecule remains, but the batch still counts three molecules.
    batch = molecules((3, 2, 1))
    assert AtomMask()(batch).num_graphs == 3


def test_the_cutoff_is_exclusive():
    data = Data(z=torch.tensor([6, 6, 6]), pos=torch.tensor([[0.0, 0, 0], [2.0, 0, 0], [1.9, 0, 0]]))
    assert masked_pairs(AtomMask().mask(data, torch.tensor([0])), 2.0).atom.tolist() == [1]


def test_same_generator_same_masks_and_the_input_is_untouched(generator):
    batch = molecules()
    before = batch.clone()
    first, second, third = (AtomMask(2)(batch, generator(seed)).masked_atom for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert batch.keys() == before.keys()
    assert all(torch.equal(batch[key], before[key]) for key in batch.keys())  # noqa: SIM118 a Data, not a dict


def test_a_data_with_a_batch_field_is_a_batch_too(generator):
    batch = molecules()
    data = Data(z=batch.z, pos=batch.pos, batch=batch.batch)
    first, second = (AtomMask(2)(each, generator()) for each in (batch, data))
    assert torch.equal(first.kept, second.kept)
    assert second.num_graphs == 8
    assert torch.equal(first.batch, second.batch)


def test_float64():
    batch = molecules()
    batch.pos = batch.pos.double()
    masked = AtomMask()(batch)
    assert masked.pos.dtype == masked.masked_pos.dtype == masked_pairs(masked, 5.0).displacement.dtype == torch.float64


def test_bad_input():
    batch = molecules((3, 2))
    with pytest.raises(ValueError, match="num_copies must be 1 or more"):
        AtomMask(0)
    with pytest.raises(ValueError, match=r"masked_atom\[1\] must be an atom of molecule 1; got row 1.*ptr"):
        AtomMask().mask(batch, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"must be an atom of molecule 1; got row 5"):
        AtomMask().mask(batch, torch.tensor([0, 5]))
    with pytest.raises(ValueError, match="must have K · 2 entries"):
        AtomMask().mask(batch, torch.tensor([0, 3, 1]))
    with pytest.raises(ValueError, match=r"needs the fields \['gap'\]"):
        AtomMask(labels=("gap",))(batch)
    with pytest.raises(ValueError, match=r"'z' must have a row for each of the 2 molecules.*\(5,\)"):
        AtomMask(labels=("z",))(batch)
    with pytest.raises(ValueError, match="molecule 1 has none"):
        AtomMask()(AtomMask()(molecules((3, 1))))
    with pytest.raises(ValueError, match="Mask the molecules first"):
        masked_pairs(batch, 5.0)
    with pytest.raises(ValueError, match="cutoff must be positive"):
        masked_pairs(AtomMask()(batch), 0)


def test_the_name_of_the_paper(generator):
    batch, mask = molecules(), EMPPMask(num_masked=2, heavy_only=True, labels=("label",))
    expected = AtomMask(num_copies=2, heavy_only=True, labels=("label",))(batch, generator())
    assert all(torch.equal(value, expected[key]) for key, value in mask(batch, generator()).to_dict().items())
    assert (mask.num_masked, repr(mask)) == (2, "EMPPMask(num_masked=2, heavy_only=True, labels=['label'])")
    with pytest.raises(ValueError, match="num_masked must be 1 or more"):
        EMPPMask(num_masked=0)
    with pytest.raises(ValueError, match=r"EMPPMask needs the fields \['gap'\]"):
        EMPPMask(labels=("gap",))(batch)


@pytest.mark.cuda
def test_cuda():
    batch = molecules()
    masked = AtomMask(2).mask(batch, torch.tensor([0, 3, 5, 10, 1, 3, 4, 11]))
    on_device = AtomMask(2).mask(batch.to("cuda"), masked.masked_atom.cuda())
    for key in masked.keys():  # noqa: SIM118 a Data, not a dict
        assert torch.equal(masked[key], on_device[key].cpu())
    draws = torch.Generator("cuda").manual_seed(0)
    assert AtomMask(2)(batch.to("cuda"), draws).z.is_cuda
