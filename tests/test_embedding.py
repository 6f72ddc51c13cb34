"""Embedding of molecules from every source, against the encoder called by hand."""

import ase
import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models import SchNet, ViSNet

import molspectra as ms
from molspectra.data import from_smiles, read_molecules, to_rdkit
from molspectra.embedding.progress import count_molecules
from molspectra.layers import HookPoint

SMILES = ["CCO", "C", "c1ccccc1", "[Na+].[Cl-]", "O=C=O"]


@pytest.fixture
def encoder():
    return ms.encoders.EquivariantTransformer(16, num_layers=3, num_heads=4, num_rbf=8)


def by_hand(encoder, molecules, reduce="sum"):
    rows = []
    for molecule in molecules:
        with torch.no_grad():
            rows.append(getattr(encoder(molecule.z, molecule.pos).scalars, reduce)(dim=0))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("pool", ["sum", "mean", "max"])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_smiles_in_order(encoder, pool, batch_size):
    expected = by_hand(encoder, map(from_smiles, SMILES), "amax" if pool == "max" else pool)
    actual = ms.embed(encoder, SMILES, pool, batch_size=batch_size)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def as_file(tmp_path, kind):
    """The molecules written as a file of this kind."""
    molecules = [from_smiles(smiles) for smiles in SMILES]
    path = tmp_path / f"molecules.{kind}"
    if kind == "sdf":
        from rdkit.Chem import SDWriter

        with SDWriter(str(path)) as writer:
            writer.SetForceV3000(True)  # six decimals
            for molecule in molecules:
                writer.write(to_rdkit(molecule))
    elif kind == "xyz":
        for molecule in molecules:
            ase.Atoms(molecule.z.numpy(), molecule.pos.double().numpy()).write(path, format="extxyz", append=True)
    else:
        path.write_text("".join(f"{smiles} name {number}\n\n" for number, smiles in enumerate(SMILES)))
    return path


SOURCES = {
    "Data": lambda tmp_path: [from_smiles(smiles) for smiles in SMILES],
    "Batch": lambda tmp_path: Batch.from_data_list([from_smiles(smiles) for smiles in SMILES]),
    "RDKit": lambda tmp_path: [to_rdkit(from_smiles(smiles)) for smiles in SMILES],
    "ASE": lambda tmp_path: [ase.Atoms(m.z.numpy(), m.pos.double().numpy()) for m in map(from_smiles, SMILES)],
    "generator": lambda tmp_path: (smiles for smiles in SMILES),
    "mixture": lambda tmp_path: [SMILES[0], from_smiles(SMILES[1]), [to_rdkit(from_smiles(s)) for s in SMILES[2:]]],
    "sdf": lambda tmp_path: as_file(tmp_path, "sdf"),
    "path as a string": lambda tmp_path: str(as_file(tmp_path, "sdf")),
    "xyz": lambda tmp_path: as_file(tmp_path, "xyz"),
    "smi": lambda tmp_path: as_file(tmp_path, "smi"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_any_source(encoder, source, tmp_path):
    expected = by_hand(encoder, map(from_smiles, SMILES))
    actual = ms.embed(encoder, SOURCES[source](tmp_path))
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3)


def test_atoms(encoder):
    rows = ms.embed(encoder, SMILES, pool=None, output="torch", batch_size=2)
    for row, molecule in zip(rows, map(from_smiles, SMILES), strict=True):
        torch.testing.assert_close(row, encoder(molecule.z, molecule.pos).scalars.detach(), rtol=1e-4, atol=1e-4)


def test_several_reductions_side_by_side(encoder):
    parts = [ms.embed(encoder, SMILES, pool) for pool in ("mean", "max", "sum")]
    np.testing.assert_array_equal(ms.embed(encoder, SMILES, "mean+max+sum"), np.concatenate(parts, axis=1))
    assert ms.embed(encoder, "O", "mean+sum", layers=[0, 1]).shape == (1, 2, 32)


def test_heavy_atoms_alone(encoder):
    molecules = [from_smiles(smiles) for smiles in SMILES]
    atoms = [encoder(molecule.z, molecule.pos).scalars.detach()[molecule.z > 1] for molecule in molecules]
    rows = ms.embed(encoder, molecules, None, hydrogens=False, output="torch")
    for row, expected in zip(rows, atoms, strict=True):
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
    means = ms.embed(encoder, molecules, "mean", hydrogens=False, output="torch")
    torch.testing.assert_close(means, torch.stack([row.mean(dim=0) for row in atoms]), rtol=1e-4, atol=1e-4)
    head = ms.heads.MoleculePooling(16)
    read = ms.embed(encoder, molecules, head, hydrogens=False, output="torch", batch_size=2)
    for row, molecule in zip(read, molecules, strict=True):
        heavy = (molecule.z > 1).nonzero()[:, 0]
        expected = head(encoder(molecule.z, molecule.pos).select(heavy))[0].detach()
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
    with pytest.warns(UserWarning, match=r"\[H\]\[H\]: hydrogens=False leaves no atom of it"):
        assert np.isnan(ms.embed(encoder, ["O", "[H][H]"], hydrogens=False)).all(axis=1).tolist() == [False, True]


def test_a_pool_that_fails_is_no_fault_of_a_molecule(encoder):
    with pytest.raises(ValueError, match="pool=MoleculePooling failed on features"):
        ms.embed(encoder, SMILES, ms.heads.MoleculePooling(8))
    with pytest.raises(ValueError, match=r"pool=<lambda> must return a row per molecule, \(2, .*got \(9, 16\)"):
        ms.embed(encoder, ["O", "CO"], lambda atoms, data: atoms.scalars)


class TwoLayers(nn.Module):
    """An encoder of a user's whose layers can be read."""

    out_channels, cutoff = 1, 5.0

    def __init__(self):
        super().__init__()
        self.hook_point = HookPoint()

    def forward(self, z, pos, batch=None):
        first = self.hook_point(z.unsqueeze(1).float())
        second = self.hook_point(10 * first)
        return ms.encoders.AtomFeatures(100 * second)


def test_layers_by_number():
    assert ms.embed(TwoLayers(), "O", layers=[0, 1, -1, -2])[0, :, 0].tolist() == [10, 100, 100, 10]
    assert ms.embed(TwoLayers(), "O").tolist() == [[10000]]
    assert ms.embed(TwoLayers(), "O", layers="all")[0, :, 0].tolist() == [10, 100]
    assert ms.embed(TwoLayers(), "O", pool=None, layers=[0])[0].shape == (3, 1, 1)
    with pytest.raises(ValueError, match=r"layers must lie in -2..1; got \[2\]"):
        ms.embed(TwoLayers(), "O", layers=[2])


ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(16, 3, 4, 8),
    "EGNN": lambda: ms.encoders.EGNN(16, 3, max_hops=2),
    "GET": lambda: ms.encoders.GET(16, 3, 2, 8),
    "PaiNN": lambda: ms.encoders.PaiNN(16, 3, 8),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(16, 3, 2, num_rbf=8),
    "SchNet": lambda: ms.encoders.Adapter(SchNet(16, 16, 3)),
    "ViSNet": lambda: ms.encoders.Adapter(ViSNet(hidden_channels=16, num_layers=3, num_heads=2)),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_shows_its_layers(name):
    encoder = ENCODERS[name]()
    layers = ms.embed(encoder, SMILES[:3], layers=range(3))
    assert layers.shape == (3, 3, 16)
    assert all(not np.allclose(layers[:, one], layers[:, one + 1]) for one in range(2))


def test_the_last_layer_goes_through_the_norm():
    encoder = ms.encoders.EquivariantTransformer(16, 2, 4, 8)
    last = ms.embed(encoder, SMILES[:2], pool=None, layers=[-1], output="torch")[0].squeeze(1)
    output = ms.embed(encoder, SMILES[:2], pool=None, output="torch")[0]
    torch.testing.assert_close(encoder.out_norm(last).detach(), output)


def test_an_encoder_without_layers_to_read_is_refused():
    encoder = ms.encoders.Adapter(lambda z, pos, batch: z.unsqueeze(1).float(), 1)
    assert ms.embed(encoder, "O").tolist() == [[10]]
    with pytest.raises(ValueError, match="layers=.0. asks for features within FunctionEncoder, which shows none"):
        ms.embed(encoder, "O", layers=[0])


def test_what_fails_is_named_and_the_rest_is_there(encoder):
    flat = to_rdkit(from_smiles("CC"))
    flat.RemoveAllConformers()
    molecules = ["CCO", "C1CC", flat, Data(z=torch.tensor([6]), pos=torch.full((1, 3), torch.nan)), "[Og]", "C"]
    with pytest.warns(UserWarning, match="4 of 6 molecules failed") as caught:
        rows = ms.embed(encoder, molecules, batch_size=2)
    message = str(caught[0].message)
    for part in ("C1CC: smiles must be a valid", "entry 2: conformer must be", "pos must be finite", "[118]"):
        assert part in message
    assert np.isnan(rows[1:5]).all()
    np.testing.assert_allclose(rows[[0, 5]], ms.embed(encoder, ["CCO", "C"]), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="C1CC: smiles must be a valid"):
        ms.embed(encoder, molecules, on_error="raise")
    with pytest.raises(ValueError, match="No molecule could be embedded of 1"):
        ms.embed(encoder, ["C1CC"])


def test_the_encoder_is_left_as_it_was(encoder):
    encoder.train()
    encoder.layers[0].eval()
    ms.embed(encoder, "O")
    assert encoder.training
    assert not encoder.layers[0].training
    with pytest.raises(ValueError, match="layers must lie in"):
        ms.embed(encoder, "O", layers=[7])
    assert encoder.training
    assert not any(module._forward_hooks for module in encoder.modules())


def test_an_encoder_in_double_precision(encoder):
    assert ms.embed(encoder.double(), "O").dtype == np.float64


def test_bonds_are_guessed_where_they_are_needed():
    encoder, ethanol = ms.encoders.EGNN(16, 2, max_hops=3), from_smiles("CCO")
    expected = ms.embed(encoder, ethanol)
    with pytest.warns(UserWarning, match="bonds of 1 molecules, which the encoder needs, were guessed"):
        guessed = ms.embed(encoder, ase.Atoms(ethanol.z.numpy(), ethanol.pos.numpy()))
    np.testing.assert_allclose(guessed, expected, rtol=1e-4, atol=1e-4)


def test_published_graph_representations(reference, load_fixture):
    checkpoint = ms.pretrained.load_reference(reference / "emgp" / "checkpoint-3dmgp.safetensors")
    molecules, expected = published_molecules(load_fixture)
    actual = ms.embed(checkpoint.encoder, molecules, pool=checkpoint.energy_head.pool, output="torch")
    assert (actual - expected).abs().max() < 1e-4 * expected.abs().max()
    torch.testing.assert_close(ms.embed(checkpoint, molecules, pool="head", output="torch"), actual)


def published_molecules(load_fixture):
    """Return molecules, and the features that the published 3D-EMGP gives for them."""
    inputs = load_fixture("emgp/inputs.safetensors")
    molecules = []
    for molecule in range(int(inputs["batch"].max()) + 1):
        atoms = (inputs["batch"] == molecule).nonzero()[:, 0]
        bonds = inputs["bond_index"][:, torch.isin(inputs["bond_index"][0], atoms)] - atoms[0]
        bonds = bonds[:, bonds[0] < bonds[1]]
        molecules.append(Data(z=inputs["z"][atoms], pos=inputs["pos"][atoms], bond_index=bonds))
    return molecules, load_fixture("emgp/outputs.safetensors")["f32.original.graph_rep"]


def test_bad_records_of_a_file(encoder, sample_files):
    with pytest.warns(UserWarning, match="1 of 21 molecules failed.*\n.*qm9_mini_badrecord.sdf, record 20"):
        rows = ms.embed(encoder, sample_files / "qm9" / "qm9_mini_badrecord.sdf")
    assert np.isnan(rows).all(axis=1).nonzero()[0].tolist() == [19]


def test_a_broken_frame_ends_what_can_be_read(tmp_path):
    path = tmp_path / "some.xyz"
    frame = "1\n\nHe 0 0 0\n"
    path.write_text(frame + "1\n\nHe 0 zero 0\n" + frame + "two\n\nHe 0 0 0\n")
    reads = list(read_molecules(path))
    assert [read.problem is None for read in reads] == [True, False, True, False]
    assert "Line 10 must hold the number of atoms; got 'two'" in reads[3].problem
    path.write_text(frame + "2\n\nHe 0 0 0\n")
    assert "ends within the frame" in list(read_molecules(path))[1].problem


def test_smiles_of_a_file_are_named(tmp_path):
    path = tmp_path / "some.smi"
    path.write_text("C methane\nC1CC\tring\n\nO\n")
    reads = list(read_molecules(path))
    assert [read.name for read in reads] == ["methane", "some.smi, line 2: ring", "O"]


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("molecules", "arguments", "error", "message"),
    [
        ("missing.sdf", {}, FileNotFoundError, "There is no file missing.sdf"),
        (3, {}, TypeError, "molecules must be SMILES, .*got a int"),
        ([], {}, ValueError, "No molecule could be embedded of 0: the source is empty"),
        ("O", {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ("O", {"pool": "median"}, ValueError, 'pool must be "sum", "mean", "max", several'),
        ("O", {"pool": "mean+"}, ValueError, "pool must be"),
        ("O", {"pool": "head"}, ValueError, 'pool="head" needs a model with an energy head'),
        ("O", {"on_error": "ignore"}, ValueError, "on_error must be"),
        ("O", {"layers": []}, ValueError, "layers must name at least one"),
        ("O", {"layers": "last"}, ValueError, "layers must be whole numbers, \"all\" or None; got 'last'"),
        ("O", {"layers": [0.5]}, ValueError, "layers must be whole numbers"),
        ("O", {"batch_size": "3"}, TypeError, "batch_size must be a whole number; got '3'"),
        ("O", {"seed": 1.5}, TypeError, "seed of .* must be an int; got 1.5"),
        (torch.ones(2, 3), {}, TypeError, "molecules must be SMILES, .*got a Tensor"),
        ("O", {"output": "np"}, ValueError, 'output must be "numpy" or "torch"'),
    ],
)
def test_bad_arguments(encoder, molecules, arguments, error, message):
    with pytest.raises(error, match=message):
        ms.embed(encoder, molecules, **arguments)


def test_a_record_cut_off_takes_nothing_from_the_next_one(tmp_path):
    from rdkit.Chem import MolToMolBlock

    blocks = [MolToMolBlock(to_rdkit(from_smiles(smiles))) + "$$$$\n" for smiles in ("C", "CC", "CCC", "CCCC")]
    blocks[1] = "cut off\n" + "\n".join(blocks[1].split("\n")[1:6]) + "\n$$$$\n"
    path = tmp_path / "some.sdf"
    path.write_bytes("".join([*blocks[:2], "\n$$$$\n", *blocks[2:], "\n"]).encode())
    reads = list(read_molecules(path))
    assert [read.molecule and len(read.molecule.z) for read in reads] == [5, None, None, 11, 14]
    assert reads[1].name == "some.sdf, record 2: cut off"


@pytest.mark.parametrize("kind", ["sdf", "xyz", "smi"])
def test_names_in_another_encoding_lose_a_letter_and_nothing_else(tmp_path, kind):
    path = as_file(tmp_path, kind)
    lines = path.read_bytes().split(b"\n")
    lines[{"sdf": 0, "xyz": 1, "smi": 0}[kind]] += b" m\xe9thane"
    path.write_bytes(b"\n".join(lines))
    assert [read.problem for read in read_molecules(path)] == [None] * 5


def test_entries_without_a_molecule_and_without_a_name(encoder):
    bad = Data(z=torch.tensor([6]), pos=torch.full((1, 3), torch.nan))
    with pytest.warns(
        UserWarning, match=r"3 of 4 .*\n  entry 0: There is no.*\n  entry 1: There.*\n  entry 3: pos must"
    ):
        rows = ms.embed(encoder, [None, float("nan"), "O", bad])
    assert np.isfinite(rows[2]).all()


def test_several_molecules_in_one_data_are_refused(encoder):
    two = Data(z=torch.tensor([6, 6]), pos=torch.randn(2, 3), batch=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="field batch has several"):
        ms.embed(encoder, two)


def by_bonds(z, pos, batch=None, bond_index=None):
    """How many bonds it is told of."""
    bonds = 0 if bond_index is None else bond_index.shape[1]
    return ms.encoders.AtomFeatures(pos.new_full((len(z), 1), float(bonds > 0)))


def test_any_callable_and_bonds_of_those_that_have_some():
    bare = from_smiles("O")
    del bare.bond_index, bare.bond_order
    for batch_size in (1, 2, 3):
        rows = ms.embed(by_bonds, [from_smiles("O"), bare, "O"], batch_size=batch_size)
        assert rows[:, 0].tolist() == [3, 0, 3]


def test_an_encoder_that_fails_on_one_molecule_gives_the_others():
    def encoder(z, pos, batch=None):
        return ms.encoders.AtomFeatures(torch.eye(9)[z])

    with pytest.warns(UserWarning, match="1 of 3 molecules failed.*\n  CBr: index 35 is out of bounds"):
        rows = ms.embed(encoder, ["O", "CBr", "C"])
    assert np.isnan(rows[:, 0]).tolist() == [False, True, False]


class Limited(nn.Module):
    """An encoder that fits a number of molecules into memory, and fails as a device or a program does."""

    out_channels, cutoff = 1, 5.0

    def __init__(self, error, most=0):
        super().__init__()
        self.error, self.most, self.batch_sizes = error, most, []

    def forward(self, z, pos, batch=None):
        self.batch_sizes.append(int(batch[-1]) + 1)
        if self.batch_sizes[-1] > self.most:
            raise self.error
        return ms.encoders.AtomFeatures(z.unsqueeze(1).float())


OUT_OF_MEMORY = {
    "accelerator": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "host": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
}


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_a_batch_that_does_not_fit_into_memory_is_halved(error):
    encoder = Limited(error, most=3)
    smiles = ["O", "C", "N", "S", "F", "Cl", "Br", "P"]
    rows = ms.embed(encoder, smiles, batch_size=6)
    np.testing.assert_array_equal(rows, ms.embed(Limited(None, most=8), smiles))
    assert encoder.batch_sizes == [6, 3, 3, 2]  # a batch of 6 is not tried again


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
def test_a_molecule_that_does_not_fit_into_memory_is_no_row_of_nan(error):
    with pytest.raises(
        torch.OutOfMemoryError, match="A molecule of 5 atoms, alone in its batch, does not fit"
    ) as caught:
        ms.embed(Limited(error), ["C", "C"])
    assert caught.value.__cause__ is error


def test_a_device_that_failed_is_no_row_of_nan():
    error = RuntimeError("CUDA error: device-side assert triggered")
    encoder = Limited(error)
    with pytest.raises(RuntimeError, match=r'cpu failed and cannot be used further .*device="cpu"'):
        ms.embed(encoder, ["C", "O"])
    assert encoder.batch_sizes == [2]  # every further operation would fail as well


@pytest.mark.parametrize("error", [NotImplementedError("later"), TypeError("wrong"), AttributeError("no such field")])
def test_a_fault_of_the_program_is_no_row_of_nan(error):
    with pytest.raises(type(error), match=str(error)):
        ms.embed(Limited(error), ["C", "O"])


def test_an_encoder_by_its_directory(encoder, tmp_path):
    ms.pretrained.save(encoder, tmp_path / "encoder")
    np.testing.assert_array_equal(ms.embed(tmp_path / "encoder", "O"), ms.embed(encoder, "O"))
    np.testing.assert_array_equal(ms.embed(str(tmp_path / "encoder"), "O"), ms.embed(encoder, "O"))
    ms.pretrained.save(ms.spectra.SpecFormer({"ir": 60}, 10, 5, 8, num_heads=2), tmp_path / "specformer")
    with pytest.raises(ValueError, match="must be an encoder; .*holds a SpecFormer"):
        ms.embed(tmp_path / "specformer", "O")


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ms.encoders.PaiNN, r"got the class PaiNN. Make one: PaiNN\(...\)"),
        (ms.methods.Coord(16), "got a Coord. Pass the encoder that it was trained with"),
        (ms.heads.ScalarHead(16), r"got ScalarHead\(atoms, data\)"),
        (np.zeros(3), "got a ndarray"),
        (None, "got a NoneType"),
    ],
)
def test_what_is_no_encoder_is_refused_in_one_line(model, message):
    with pytest.raises(TypeError, match=message) as caught:
        ms.embed(model, "O")
    assert len(str(caught.value)) < 250


SOURCES_OF_KNOWN_SIZE = SOURCES.keys() - {"generator", "mixture"}


@pytest.mark.parametrize("source", sorted(SOURCES_OF_KNOWN_SIZE))
def test_progress_knows_the_number_of_molecules(source, tmp_path):
    assert count_molecules(SOURCES[source](tmp_path)) == len(SMILES)
    assert count_molecules(SOURCES["generator"](tmp_path)) is None


def test_progress_knows_the_number_of_rows(tmp_path):
    table = {"name": list("abcde"), "smiles": SMILES}
    path = tmp_path / "o.csv"
    path.write_text("name,smiles\n" + "".join(f'"of\ntwo lines",{one}\n' for one in SMILES))
    assert [count_molecules(source, "smiles") for source in (table, path)] == [5, 5]


def test_progress_is_shown(encoder, capsys):
    ms.embed(encoder, ["O", "C"], progress=True)
    assert "molecules: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("pool", ["sum", None])
def test_result_with_names_and_problems(encoder, pool):
    result = ms.embedding.embed_molecules(encoder, ["CCO", "C1CC", "C"], pool)
    assert result.names == ["CCO", "C1CC", "C"]
    assert list(result.problems) == [1]
    arrays = result.to_arrays()
    assert arrays["problems"].tolist()[::2] == ["", ""]
    assert "must be a valid SMILES" in arrays["problems"][1]
    if pool is None:
        assert arrays["atom_offset"].tolist() == [0, 9, 9, 14]
        assert arrays["features"].shape == (14, 16)
    else:
        assert np.isnan(arrays["features"]).any(axis=1).tolist() == [False, True, False]


def test_a_pooling_module_follows_the_encoder(encoder):
    pool = ms.heads.MoleculePooling(16)
    rows = ms.embed(encoder.double(), "O", pool=pool.double())
    assert rows.dtype == np.float64
    assert pool.training


def test_chemaxon_extensions_belong_to_the_smiles(tmp_path):
    path = tmp_path / "some.smi"
    path.write_text("C[CH2] |^1:1| ethyl radical\nC[C@H](O)F |&1:1|\nCCO ethanol\n")
    reads = list(read_molecules(path))
    assert [read.name for read in reads] == ["ethyl radical", "C[C@H](O)F |&1:1|", "ethanol"]
    assert [read.molecule and len(read.molecule.z) for read in reads] == [7, 9, 9]
