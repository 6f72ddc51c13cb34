import os
import zipfile

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data, InMemoryDataset

from molspectra.data import IR, RAMAN, UV_VIS_QM9S, validate
from molspectra.data.datasets.qm9 import QM9
from molspectra.data.datasets.qm9s import QM9S
from molspectra.data.datasets.qm9sp import QM9SP
from molspectra.data.io.pickled import fields_of
from tests.data.datasets.layouts_qm9 import qm9s_values, spectra, write_qm9s, write_spectra

KINDS = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}
SYMMETRIC = [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1), (2, 2)]  # xx, xy, yy, zx, zy, zz


class SomeQM9S(QM9S):
    num_molecules = 3


@pytest.fixture
def root(tmp_path):
    write_qm9s(tmp_path / "raw")
    return tmp_path


def matrix(elements):
    """The symmetric matrix of xx, xy, yy, zx, zy, zz."""
    full = np.empty((3, 3))
    for (i, j), element in zip(SYMMETRIC, elements, strict=True):
        full[i, j] = full[j, i] = element
    return full


def expected_fields(index):
    """Fields of a molecule, from the numbers that were written."""
    values = qm9s_values(index)
    return {
        "pos": values["pos"],
        "energy": [values["energy"]],
        "npa_charge": values["npacharge"],
        "dipole": [values["dipole"]],
        "quadrupole": [matrix(values["quadrupole"])],
        "polarizability": [matrix(values["polar"])],
        "transition_energy": [values["tran_energy"]],
        "transition_dipole": [values["tran_dipole"]],
        "dipole_derivative": values["dedipole"],
        "polarizability_derivative": values["depolar"],
        **{kind: spectra(name, 3)[[index]] for kind, name in KINDS.items()},
    }


def assert_molecules(dataset):
    assert len(dataset) == 3
    for index, data in enumerate(dataset):
        validate(data)
        values = qm9s_values(index)
        assert data.z.tolist() == values["z"]
        assert (data.smiles, data.number) == (values["smile"], values["number"])
        assert data.energy.dtype == torch.float64
        for field, expected in expected_fields(index).items():
            found = data[field]
            expected = torch.as_tensor(np.array(expected), dtype=found.dtype)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def pickled_molecule(index, dtype=torch.float32):
    """An entry of qm9s.pt."""
    values = qm9s_values(index)
    n = len(values["z"])
    tensor = {name: torch.as_tensor(np.array(value), dtype=dtype) for name, value in values.items() if name != "smile"}
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return Data(
        edge_index=torch.tensor(pairs).t(),
        pos=tensor["pos"],
        number=values["number"],
        smile=values["smile"],
        z=torch.tensor(values["z"]),
        quadrupole=torch.as_tensor(matrix(values["quadrupole"]), dtype=dtype)[None],
        octapole=torch.zeros(1, 3, 3, 3),
        npacharge=tensor["npacharge"],
        dipole=tensor["dipole"][None],
        polar=torch.as_tensor(matrix(values["polar"]), dtype=dtype)[None],
        hyperpolar=torch.zeros(1, 3, 3, 3),
        energy=torch.tensor([[values["energy"]]], dtype=torch.float64),
        Hij=torch.zeros(len(pairs), 3, 3),
        Hi=torch.zeros(n, 3, 3),
        dedipole=tensor["dedipole"],
        depolar=tensor["depolar"],
        tran_dipole=tensor["tran_dipole"][None],
        tran_energy=tensor["tran_energy"][None],
    )


def test_the_tables_of_molecules(root):
    assert_molecules(SomeQM9S(root))


def test_the_list_of_molecules(root):
    torch.save([pickled_molecule(index) for index in range(3)], root / "raw" / "qm9s.pt")
    assert_molecules(SomeQM9S(root, layout="pt"))


def test_molecules_make_batches(root):
    batch = Batch.from_data_list(list(SomeQM9S(root)))
    assert batch.ir.shape == (3, IR.length)
    assert batch.uv_vis.shape == (3, UV_VIS_QM9S.length)
    assert batch.polarizability.shape == (3, 3, 3)
    assert set(QM9S.units) <= set(batch.keys())


def test_tables_by_the_other_name(tmp_path):
    write_qm9s(tmp_path / "raw")
    for name in KINDS.values():
        os.rename(tmp_path / "raw" / f"{name}_boraden.csv", tmp_path / "raw" / f"{name}_broaden.csv")
    assert_molecules(SomeQM9S(tmp_path))


def test_some_kinds_of_spectra_need_their_tables_only(root):
    for name in ("uv", "raman"):
        (root / "raw" / f"{name}_boraden.csv").unlink()
    dataset = SomeQM9S(root, kinds=["ir"])
    assert dataset[2].ir.shape == (1, RAMAN.length)
    assert "raman" not in dataset[2]
    with pytest.raises(ValueError, match=r"kinds must be some of .*got \['nmr'\]"):
        QM9S(root, kinds=["ir", "nmr"])


def test_another_number_of_molecules_is_refused(root):
    with pytest.raises(ValueError, match="found 3 molecules; 129817 were published"):
        QM9S(root)


def rewrite(path, change):
    """Change the list of a file's lines."""
    lines = path.read_text().splitlines()
    change(lines)
    path.write_text("\n".join(lines) + "\n")


def test_a_truncated_table_is_refused_before_anything_is_read(root):
    path = root / "raw" / "ir_boraden.csv"
    rewrite(path, lambda lines: lines.pop())
    with pytest.raises(ValueError, match=r"ir_boraden\.csv has 2 rows; expected 3"):
        SomeQM9S(root)
    rewrite(path, lambda lines: lines.__delitem__(slice(1, None)))
    with pytest.raises(ValueError, match=r"ir_boraden\.csv has 0 rows; expected 3"):
        SomeQM9S(root)
    path.write_text("")
    with pytest.raises(ValueError, match=r"ir_boraden\.csv, line 1: expected 3501 samples, 500 to 4000 cm\^-1; got 0"):
        SomeQM9S(root)


def test_a_table_of_another_release_is_refused(root):
    write_spectra(root / "raw", 4)
    with pytest.raises(ValueError, match=r"uv_boraden\.csv has 4 rows; expected 3"):
        SomeQM9S(root)


def test_rows_out_of_order_are_refused(root):
    def swap(lines):
        lines[1], lines[2] = lines[2], lines[1]

    rewrite(root / "raw" / "raman_boraden.csv", swap)
    with pytest.raises(ValueError, match=r"raman_boraden\.csv, line 2: expected row 0 of 3; got '1'"):
        SomeQM9S(root, skip_broken=True)  # not a matter of one record


def test_tables_mixed_up_are_refused(root):
    raw = root / "raw"
    (raw / "ir_boraden.csv").write_bytes((raw / "uv_boraden.csv").read_bytes())
    with pytest.raises(ValueError, match=r"line 1: expected 3501 samples.*got 701, 1 to 15"):
        SomeQM9S(root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cells: cells.pop(), "has 3500 intensities of ir; expected 3501"),
        (lambda cells: cells.__setitem__(9, "nan"), "not finite"),
        (lambda cells: cells.__setitem__(9, ""), "could not convert"),
        (lambda cells: cells.__setitem__(9, "1.0x"), "could not convert"),
    ],
)
def test_a_broken_row_is_named_or_skipped(root, change, reason):
    def break_second(lines):
        cells = lines[2].split(",")
        change(cells)
        lines[2] = ",".join(cells)

    rewrite(root / "raw" / "ir_boraden.csv", break_second)
    with pytest.raises(ValueError, match=rf"ir_boraden\.csv, record in line 3: .*{reason}"):
        SomeQM9S(root)
    with pytest.warns(UserWarning, match="skipped 1 broken records"):
        dataset = SomeQM9S(root, skip_broken=True)
    assert [data.number for data in dataset] == [3, 23]
    for data, row in zip(dataset, (0, 2), strict=True):
        torch.testing.assert_close(data.raman[0], torch.tensor(spectra("raman", 3)[row], dtype=torch.float32))


def change_table(path, name, change):
    """Change the lines of one table in the archive of molecules."""
    with zipfile.ZipFile(path) as archive:
        files = {member: archive.read(member).decode() for member in archive.namelist()}
    lines = files[name].splitlines()
    change(lines)
    files[name] = "\n".join(lines) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines.pop(5), "Line 6 must be row 4; got '5'"),
        (lambda lines: lines.__delitem__(slice(19, None)), "has 18 rows; expected at least 19"),
        (lambda lines: lines.__setitem__(1, "0,7,13,O,3"), "must be QM9S's number 2.*'7'"),
        (lambda lines: lines.__setitem__(4, "3,1.0,2.0,,,"), "Line 5 must have 3 numbers; got 2"),
        (lambda lines: lines.__setitem__(4, "3,1.0,2.0,inf"), "dipole is not finite"),
        (lambda lines: lines.__setitem__(11, "10,0.0,1.0,2.0,3.0"), "z must lie in 1..118"),
        (lambda lines: lines.clear(), "Line 2 must be QM9S's number 2.*got nothing"),
    ],
)
def test_a_broken_molecule_is_named(root, change, reason):
    def change_and_cut(lines):
        change(lines)
        del lines[20:]  # the Hessian, which is not read

    change_table(root / "raw" / "qm9s_csv.zip", "qm9s_csv/000002.csv", change_and_cut)
    with pytest.raises(ValueError, match=rf"qm9s_csv\.zip, record qm9s_csv/000002\.csv: .*{reason}"):
        SomeQM9S(root)


def test_a_gap_in_the_tables_of_molecules_is_refused(root):
    with zipfile.ZipFile(root / "raw" / "qm9s_csv.zip", "a") as archive:
        archive.writestr("qm9s_csv/000005.csv", "")
    with pytest.raises(ValueError, match=r"has 4 tables, without 000004\.csv"):
        SomeQM9S(root)


def test_a_truncated_archive_is_refused(root):
    path = root / "raw" / "qm9s_csv.zip"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"qm9s_csv\.zip is damaged or truncated"):
        SomeQM9S(root)


class Harmful:
    """What a pickle can do when it is read."""

    def __reduce__(self):
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("layout", ["list", "collated"])
def test_no_code_of_a_pickle_is_run(root, monkeypatch, layout):
    monkeypatch.chdir(root)
    molecule = pickled_molecule(0)
    molecule.extra = Harmful()
    if layout == "list":
        torch.save([molecule], root / "raw" / "qm9s.pt")
        read = lambda: SomeQM9S(root, layout="pt")  # noqa: E731
    else:
        torch.save((molecule, {}), root / "raw" / "data_with_uv_ir_raman.pt")
        read = lambda: QM9SP(root)  # noqa: E731
    with pytest.raises(ValueError, match=r"would have to run \['posix.mkdir'\]"):
        read()
    assert not (root / "harmed").exists()


@pytest.mark.parametrize("content", [b"", b"not a file of torch", b"PK\x03\x04"])
def test_a_damaged_pickle_is_refused(root, content):
    (root / "raw" / "qm9s.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"qm9s\.pt cannot be read"):
        SomeQM9S(root, layout="pt")


def test_a_truncated_pickle_is_refused(root):
    path = root / "raw" / "qm9s.pt"
    torch.save([pickled_molecule(index) for index in range(3)], path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"qm9s\.pt cannot be read"):
        SomeQM9S(root, layout="pt")


def test_a_molecule_without_a_field_is_named(root):
    molecules = [pickled_molecule(index) for index in range(3)]
    del molecules[1].polar
    torch.save(molecules, root / "raw" / "qm9s.pt")
    with pytest.raises(ValueError, match=r"qm9s\.pt, record 1: It lacks the fields \['polar'\]"):
        SomeQM9S(root, layout="pt")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("polar", "text", "polar must be a tensor of numbers; got a str"),
        ("polar", torch.ones(2), r"polarizability has shape \(2,\); expected \(1, 3, 3\), for"),
        ("dedipole", torch.ones(1, 3, 3), r"dipole_derivative has shape \(1, 3, 3\); expected"),
        ("z", [1, 2], "z must be a tensor of numbers; got a list"),
        ("number", torch.ones(3), "number must be one integer"),
    ],
)
def test_a_field_of_another_type_is_named_or_skipped(root, field, value, match):
    molecules = [pickled_molecule(index) for index in range(3)]
    molecules[1][field] = value
    torch.save(molecules, root / "raw" / "qm9s.pt")
    with pytest.raises(ValueError, match=rf"qm9s\.pt, record 1: {match}"):
        SomeQM9S(root, layout="pt")
    with pytest.warns(UserWarning, match="skipped 1 broken record"):
        assert len(SomeQM9S(root, layout="pt", skip_broken=True)) == 2


def test_fields_of_objects_of_older_versions():
    """PyG 1 kept fields as attributes of the object, None where there are none."""
    old = Data.__new__(Data)
    old.__dict__.update(x=None, pos=torch.ones(2, 3), number=5)
    assert set(fields_of(old)) == {"pos", "number"}
    assert fields_of(Data(pos=torch.ones(2, 3), number=5)).keys() == {"pos", "number"}


# QM9SP -----------------------------------------------------------------------------------------------------------


def prepared_molecule(index, flat):
    """An entry of the prepared data set, with the mismatch of edges that copies of it have."""
    values = qm9s_values(index)
    shape = (-1,) if flat else (1, -1)
    return Data(
        x=torch.zeros(len(values["z"]), 11),
        edge_index=torch.zeros(2, 6, dtype=torch.int64),
        edge_attr=torch.zeros(4, 4),
        y=torch.arange(19.0)[None] + index,
        pos=torch.as_tensor(values["pos"], dtype=torch.float32),
        z=torch.tensor(values["z"]),
        name=f"gdb_{values['number']}",
        idx=torch.tensor([index]),
        **{name: torch.tensor(spectra(name, 3)[index], dtype=torch.float32).reshape(shape) for name in KINDS.values()},
    )


def write_prepared(root, molecules, form):
    """As InMemoryDataset saves them now, or as it did before."""
    (root / "raw").mkdir(exist_ok=True)
    path = root / "raw" / "data_with_uv_ir_raman.pt"
    if form == "new":
        InMemoryDataset.save(molecules, path)
    else:
        torch.save(InMemoryDataset.collate(molecules), path)


@pytest.mark.parametrize("form", ["new", "old"])
@pytest.mark.parametrize("flat", [False, True])
def test_prepared_molecules(tmp_path, form, flat):
    write_prepared(tmp_path, [prepared_molecule(index, flat) for index in range(3)], form)
    dataset = QM9SP(tmp_path)
    assert len(dataset) == 3
    for index, data in enumerate(dataset):
        validate(data)
        values = qm9s_values(index)
        assert data.z.tolist() == values["z"]
        torch.testing.assert_close(data.pos, torch.as_tensor(values["pos"], dtype=torch.float32))
        assert data.name == f"gdb_{values['number']}"
        for kind, name in KINDS.items():
            torch.testing.assert_close(data[kind][0], torch.tensor(spectra(name, 3)[index], dtype=torch.float32))
        assert [data[target].item() for target in QM9.targets] == [index + i for i in range(19)]
    assert Batch.from_data_list(list(dataset)).raman.shape == (3, 3501)


def test_prepared_molecules_that_lack_something_are_refused(tmp_path):
    molecules = [prepared_molecule(index, flat=False) for index in range(3)]
    for molecule in molecules:
        del molecule.raman
    write_prepared(tmp_path, molecules, "new")
    with pytest.raises(ValueError, match=r"lacks the fields \['raman'\]"):
        QM9SP(tmp_path)


def test_a_prepared_spectrum_of_another_length_is_named(tmp_path):
    molecules = [prepared_molecule(index, flat=True) for index in range(3)]
    molecules[1].uv = torch.zeros(601)
    write_prepared(tmp_path, molecules, "new")
    with pytest.raises(ValueError, match=r"record 1: uv must have 701 finite intensities; got 601"):
        QM9SP(tmp_path)


def test_prepared_files_of_something_else_are_refused(tmp_path):
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / "data_with_uv_ir_raman.pt"
    torch.save([prepared_molecule(0, flat=True)], path)
    with pytest.raises(ValueError, match=r"holds a list; expected \(data, slices\)"):
        QM9SP(tmp_path)
    data, slices = InMemoryDataset.collate([prepared_molecule(index, flat=True) for index in range(3)])
    torch.save((data, {**slices, "z": slices["z"][:-1]}), path)
    with pytest.raises(ValueError, match="is inconsistent"):
        QM9SP(tmp_path)


def test_prepared_files_are_not_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data_with_uv_ir_raman\.pt.*https://osf\.io/wrvcn"):
        QM9SP(tmp_path)
