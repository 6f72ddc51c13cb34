"""AddTopology: stored fields, batching, and sources of bonds."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose

import molspectra as ms
from molspectra.data.transforms import AddTopology, ForceConstants
from molspectra.geometry import topology
from tests.conformers import IDS

EDGE_SMILES = [
    "[Na+]",
    "[H][H]",
    "O=C=O",
    "CC#CC",
    "CC#N",
    "[Na+].[Cl-]",
    "C1CC12CC2",
    "C1CCC2CCCCC2C1",
    "C1CC2CC1CC2",
    "C1OC1",
]


@pytest.mark.parametrize("name", IDS)
def test_published_clean_terms(conformers, name):
    data = AddTopology()(conformers.molecule(name))
    _, angles, torsions = conformers.terms(name, clean=True)
    assert torch.equal(data.angle_index, angles)
    assert torch.equal(data.torsion_index, torsions)
    assert torch.equal(data.rotatable_index, conformers("frad/torsion_noise", name, "quads"))
    in_ring = ~topology.bridge_of(data.parent_index, data.bridge, *data.bond_index)[1]
    assert torch.equal(in_ring, conformers("frad/molecules", name, "bond_in_ring"))
    ring_atoms = conformers("frad/molecules", name, "atom_in_ring").nonzero().flatten()
    assert torch.equal(data.bond_index[:, in_ring].unique(), ring_atoms)
    released = AddTopology(as_released=True)(conformers.molecule(name))

    def flags(index, marked):
        """Mark the torsions whose middle bond, and the angles of which both bonds, are marked."""
        marked = {frozenset(bond) for bond in marked.t().tolist()}
        pairs = [index[1:3]] if len(index) == 4 else [index[:2], index[1:]]
        return torch.tensor(
            [
                all(frozenset(bond) in marked for bond in bonds)
                for bonds in zip(*[p.t().tolist() for p in pairs], strict=True)
            ],
            dtype=torch.bool,
        )

    in_ring = topology.bonds_in_rings(released.bond_index, len(released.z))
    assert torch.equal(in_ring, conformers("slide/internal", name, "bond_same_ring"))
    ring_bonds = released.bond_index[:, in_ring]
    for index, marked, key in (
        (released.angle_index, ring_bonds, "angle_both_bonds_in_ring"),
        (released.torsion_index, ring_bonds, "torsion_central_in_ring"),
        (released.torsion_index, released.rotatable_index[1:3], "torsion_rotatable"),
    ):
        assert torch.equal(flags(index, marked), conformers("slide/internal", name, key)), key
    assert torch.equal(released.angle_index, conformers("slide/internal", name, "angles"))
    assert torch.equal(released.torsion_index, conformers("slide/internal", name, "torsions"))
    heavy = AddTopology(hydrogens=False)(conformers.molecule(name))
    assert torch.equal(heavy.rotatable_index, conformers("frad/torsion_noise", name, "quads_heavy"))


def test_fields_batch_and_come_apart_again():
    molecules = [AddTopology()(ms.data.from_smiles(smiles)) for smiles in (*EDGE_SMILES, "OCC1CC1")]
    batch = Batch.from_data_list(molecules)
    for number, data in enumerate(molecules):
        again = batch.get_example(number)
        for key in data.keys():  # noqa: SIM118 - iterating a Data gives pairs
            same = (
                torch.equal(again[key], data[key]) if isinstance(data[key], torch.Tensor) else again[key] == data[key]
            )
            assert same, key
    # Every index points into its own molecule.
    for key in ("angle_index", "torsion_index", "rotatable_index"):
        of = batch.batch[batch[key]]
        assert (of == of[0]).all(), key
    assert torch.equal(batch.batch[batch.parent_index], batch.batch)


@pytest.mark.parametrize("smiles", EDGE_SMILES)
def test_edge_molecules_and_the_noises_and_constants_on_them(smiles):
    data = Compose([AddTopology(), ForceConstants.generic()])(ms.data.from_smiles(smiles))
    assert data.angle_index.shape[0] == 3
    assert data.torsion_index.shape[0] == 4
    assert data.bond_k.shape == data.bond_index.shape[1:]
    assert data.torsion_k.shape == data.torsion_index.shape[1:]


def test_terms_near_a_line_are_left_out():
    butyne = ms.data.from_smiles("CC#CC")
    data, everything = AddTopology()(butyne), AddTopology(as_released=True)(butyne)
    assert everything.angle_index.shape[1] - data.angle_index.shape[1] == 2
    assert data.torsion_index.shape[1] == 0
    assert everything.torsion_index.shape[1] > 0
    assert data.rotatable_index.shape[1] == 0
    assert AddTopology(margin=0.0)(butyne).angle_index.shape[1] == everything.angle_index.shape[1]


def test_the_input_is_left_as_it_was():
    ethanol = ms.data.from_smiles("CCO")
    AddTopology()(ethanol)
    assert "angle_index" not in ethanol


def test_bonds_from_the_edges_of_a_pyg_data_set():
    ethanol = ms.data.from_smiles("CCO")
    edges = torch.cat([ethanol.bond_index, ethanol.bond_index.flip(0)], dim=1)
    kinds = torch.nn.functional.one_hot((ethanol.bond_order.long() - 1).repeat(2), 4).float()
    qm9_style = AddTopology()(Data(z=ethanol.z, pos=ethanol.pos, edge_index=edges, edge_attr=kinds))
    expected = AddTopology()(ethanol)
    assert {tuple(pair) for pair in qm9_style.bond_index.t().tolist()} == {
        tuple(pair) for pair in ethanol.bond_index.t().tolist()
    }
    assert qm9_style.angle_index.shape == expected.angle_index.shape
    assert qm9_style.rotatable_index.shape == expected.rotatable_index.shape


def test_bonds_and_orders_are_guessed_with_a_warning():
    ethanol = ms.data.from_smiles("CCO")
    with pytest.warns(UserWarning, match="Guessed 8 bonds of 9 atoms"):
        guessed = AddTopology()(Data(z=ethanol.z, pos=ethanol.pos))
    assert guessed.rotatable_index.shape == (4, 2)
    with pytest.warns(UserWarning, match="Guessed the orders of 8 bonds"):
        guessed = AddTopology()(Data(z=ethanol.z, pos=ethanol.pos, bond_index=ethanol.bond_index))
    assert torch.equal(guessed.bond_order, ethanol.bond_order)


ETHANE = {"z": torch.tensor([6, 6]), "pos": torch.rand(2, 3), "bond_order": torch.ones(1)}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"bond_index": torch.tensor([[0, 1], [1, 0]]), "bond_order": torch.ones(2)},
            ValueError,
            "keep those with i < j",
        ),
        ({"bond_index": torch.tensor([[0], [0]])}, ValueError, "with i < j"),
        ({"bond_index": torch.tensor([[0], [2]])}, ValueError, "must hold atoms 0..1"),
        ({"bond_index": torch.tensor([[0, 1]])}, ValueError, r"shape \(2, B\)"),
        ({"bond_index": torch.tensor([[0.0], [1.0]])}, TypeError, "must be int64"),
        (
            {"bond_index": torch.tensor([[0], [1]]), "bond_order": torch.ones(2)},
            ValueError,
            "bond_order must have shape",
        ),
        ({"bond_index": torch.tensor([[0], [1]]), "bond_order": torch.tensor([torch.nan])}, ValueError, "finite"),
        (
            {"bond_index": torch.tensor([[0], [1]]), "pos": torch.full((2, 3), torch.nan)},
            ValueError,
            "pos must be finite",
        ),
        ({"pos": None}, ValueError, "must have a tensor pos"),
        ({"z": None}, ValueError, "must have a tensor z"),
    ],
)
def test_wrong_molecules_are_refused(fields, error, message):
    fields = {name: value for name, value in (ETHANE | fields).items() if value is not None}
    with pytest.raises(error, match=message):
        AddTopology()(Data(**fields))


def test_either_order_of_a_bonds_atoms_will_do():
    ethanol = ms.data.from_smiles("CCO")
    turned = ethanol.clone()
    turned.bond_index = turned.bond_index.flip(0)
    expected, data = AddTopology()(ethanol), AddTopology()(turned)
    assert torch.equal(data.rotatable_index, expected.rotatable_index)
    assert torch.equal(data.angle_index, expected.angle_index)


def test_bad_arguments():
    with pytest.raises(ValueError, match="margin must not be negative"):
        AddTopology(margin=-0.1)


def test_edges_that_are_no_bonds_are_not_taken_for_bonds():
    ethanol = ms.data.from_smiles("CCO")
    edges = torch.combinations(torch.arange(9)).t()
    with pytest.warns(UserWarning, match="Guessed 8 bonds"):
        AddTopology()(Data(z=ethanol.z, pos=ethanol.pos, edge_index=edges, edge_attr=torch.rand(edges.shape[1])))


@pytest.mark.cuda
def test_molecules_on_another_device():
    data = AddTopology()(ms.data.from_smiles("CCO").to("cuda"))
    assert all(value.is_cuda for value in data.to_dict().values() if isinstance(value, torch.Tensor))


def test_a_batch_is_refused():
    batch = Batch.from_data_list([ms.data.from_smiles("O")])
    with pytest.raises(ValueError, match="single molecules, not a Batch"):
        AddTopology()(batch)


def test_pre_transform_runs_once():
    calls = []

    def count(data):
        calls.append(data.smiles)
        return AddTopology()(data)

    molecules = ms.data.MiniSpectra("test", pre_transform=count)
    first, again = molecules[3], molecules[3:5][0]
    assert calls == [first.smiles]
    assert torch.equal(first.angle_index, again.angle_index)
    first.pos.zero_()
    assert molecules[3].pos.abs().sum() > 0


def test_repr():
    assert repr(AddTopology()) == "AddTopology(margin=0.08727, hydrogens=True, as_released=False)"
