"""Molecules from tables: data frames, dictionaries, rows and .csv files, with missing entries and labels."""

import csv
import decimal
import itertools
import math

import numpy as np
import pyarrow
import pytest
import torch

import molspectra as ms
from molspectra.data import read_molecules

SMILES = ["CCO", "C", "O"]
LOGP = [-0.31, 1.09, -1.38]


class NAType:
    """Double of `pandas.NA`, whose comparisons have no truth value."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__
    __hash__ = None

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


class Frame:
    """Double of a data frame: iterating yields the names of its columns."""

    def __init__(self, columns):
        self.table = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return np.array(self.table[name], dtype=object)

    def __iter__(self):
        return iter(self.columns)


def as_rows(table):
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


TABLES = {
    "dict": dict,
    "frame": Frame,
    "rows": as_rows,
    "generator of rows": lambda table: iter(as_rows(table)),
    "pyarrow": lambda table: pyarrow.table(table),
    "structured array": lambda table: np.array(
        list(zip(*table.values(), strict=True)), dtype=[("smiles", "U20"), ("logp", "f8")]
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_read_by_their_column(kind):
    reads = list(read_molecules(TABLES[kind]({"smiles": SMILES, "logp": LOGP}), smiles="smiles", labels=["logp"]))
    assert [read.name for read in reads] == SMILES
    assert [read.molecule.logp.tolist() for read in reads] == [[value] for value in LOGP]
    assert [len(read.molecule.z) for read in reads] == [9, 5, 3]


@pytest.mark.parametrize("kind", TABLES)
def test_tables_are_refused_without_a_column(kind):
    """Names of columns such as C, N and O are valid SMILES."""
    table = TABLES[kind]({"smiles": SMILES, "logp": LOGP})
    with pytest.raises(ValueError, match=r"columns \['smiles', 'logp'\]. Name the one of SMILES"):
        list(read_molecules(table))
    table = TABLES[kind]({"smiles": SMILES, "logp": LOGP})
    with pytest.raises(ValueError, match=r"has no column 'SMILES'; its columns are \['smiles', 'logp'\]"):
        list(read_molecules(table, smiles="SMILES"))


def test_embedding_takes_tables():
    encoder = ms.encoders.EquivariantTransformer(16, num_layers=1, num_heads=2, num_rbf=8)
    rows = ms.embed(encoder, {"C": SMILES, "N": [1, 2, 3]}, smiles="C")
    np.testing.assert_array_equal(rows, ms.embed(encoder, SMILES))
    with pytest.raises(ValueError, match="Name the one of SMILES"):
        ms.embed(encoder, {"C": SMILES, "N": [1, 2, 3]})


MISSING = [None, math.nan, np.float64("nan"), np.float32("nan"), NAType(), np.ma.masked, decimal.Decimal("nan")]


@pytest.mark.parametrize("missing", MISSING, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("kind", ["list", "array", "dict", "rows"])
def test_a_missing_entry_costs_its_own_row(missing, kind):
    entries = ["CCO", missing, "O"]
    if kind in ("list", "array"):
        source, column = (entries if kind == "list" else np.array(entries, dtype=object)), None
    else:
        source, column = TABLES[kind]({"smiles": entries, "logp": LOGP}), "smiles"
    reads = list(read_molecules(source, smiles=column))
    assert [read.problem is None for read in reads] == [True, False, True]
    assert "There is no" in reads[1].problem
    encoder = ms.encoders.PaiNN(8, 1, 8)
    with pytest.warns(UserWarning, match="1 of 3 molecules failed"):
        rows = ms.embed(encoder, source, smiles=column)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]


def test_pandas_tables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"C": ["CCO", pandas.NA, "O"], "N": [1.0, 2.0, np.nan]}, index=[7, 3, 5])
    reads = list(read_molecules(frame, smiles="C", labels=["N"]))
    assert [read.problem is None for read in reads] == [True, False, True]
    assert reads[2].molecule.N.isnan().all()
    for column in (frame["C"], frame["C"].astype("string"), frame["C"].astype("category"), frame["C"].to_numpy()):
        assert [read.problem is None for read in read_molecules(column)] == [True, False, True]
    with pytest.raises(TypeError, match="got a int"):
        list(read_molecules(frame.iterrows()))
    for source in (frame, frame[["C"]], frame.itertuples(), frame.to_numpy(), frame.to_dict("records")):
        with pytest.raises(ValueError, match="Name the one of SMILES|is a row with several entries"):
            list(read_molecules(source))


@pytest.mark.parametrize("rows", [[("CCO", "C"), ("O", "N")], [["CCO", 1.0]], np.array([["C", "N"], ["O", "C"]])])
def test_rows_without_names_are_refused(rows):
    with pytest.raises(ValueError, match="Entry 0 of molecules is a row with several entries"):
        list(read_molecules(rows))


def test_sources_without_order_or_columns_are_refused():
    with pytest.raises(TypeError, match="in a fixed order; got a set"):
        list(read_molecules({"C", "O"}))
    with pytest.raises(TypeError, match="got a bytes"):
        list(read_molecules(b"CCO"))
    for source in ("C", ["C"], ms.data.from_smiles("C")):
        with pytest.raises(ValueError, match="has no columns; got smiles='smiles'"):
            list(read_molecules(source, smiles="smiles"))


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_files_equal_pythons_reader(tmp_path, suffix, delimiter):
    if suffix == ".tsv" and delimiter != "\t":
        return
    path = tmp_path / f"some{suffix}"
    path.write_text(
        "\ufeff"
        + "id,smiles,logp\n1,CCO,-0.31\n\n2,C1CC,\n3,,5\n4,C,NaN\n5,O,n.a.\n6,N\n7,N,1.5,2\n8,N,1.5,\n".replace(
            ",", delimiter
        )
        + f'9{delimiter}"C[C@H](N){chr(34)}{delimiter}+1e-1\n'
    )
    reads = list(read_molecules(path, smiles="smiles", labels=["logp"]))
    assert [read.problem is None for read in reads] == [True, False, False, True, False, False, False, True, True]
    assert reads[0].molecule.logp.tolist() == [-0.31]
    assert reads[3].molecule.logp.isnan().all()
    assert reads[8].molecule.logp.tolist() == [0.1]
    assert reads[1].name == f"some{suffix}, line 4: C1CC"
    assert reads[2].name == f"some{suffix}, line 5"
    assert "logp must be a number or empty; got 'n.a.'" in reads[4].problem
    assert reads[5].problem == "The row must have 3 cells; got 2."
    with path.open(encoding="utf-8-sig") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter=delimiter) if row]
    assert [row["smiles"] for row in rows][0] == reads[0].name


def test_files_are_refused_by_their_columns(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text("smiles,logp,logp\nC,1,2\n")
    with pytest.raises(ValueError, match=r"some.csv is a table with the columns .* Name the one of SMILES"):
        list(read_molecules(path))
    with pytest.raises(ValueError, match="has no column 'SMILES'"):
        list(read_molecules(path, smiles="SMILES"))
    with pytest.raises(ValueError, match="has more than one column 'logp'"):
        list(read_molecules(path, smiles="smiles", labels=["logp"]))
    path.write_text("")
    with pytest.raises(ValueError, match=r"has no column 'smiles'; its columns are \[\]"):
        list(read_molecules(path, smiles="smiles"))
    (tmp_path / "some.smi").write_text("C\n")
    with pytest.raises(ValueError, match="some.smi has no columns; got smiles="):
        list(read_molecules(tmp_path / "some.smi", smiles="smiles"))


@pytest.mark.parametrize("label", ["z", "pos", "batch", "refractive_index", "num_nodes", "x", "_id", "ir", "face"])
def test_labels_that_would_change_a_batch_are_refused(label):
    with pytest.raises(ValueError, match="labels must be free names of fields"):
        list(read_molecules({"smiles": SMILES, label: LOGP}, smiles="smiles", labels=[label]))
    with pytest.raises(TypeError, match="labels must be a list of columns; got 'logp'"):
        list(read_molecules({"smiles": SMILES}, smiles="smiles", labels="logp"))


def test_labels_go_into_batches():
    table = {"smiles": [*SMILES, "N"], "y": [1, "2.5", None, True]}
    molecules = [read.molecule for read in read_molecules(table, smiles="smiles", labels=["y"])]
    batch = ms.data.Collate()(molecules)
    torch.testing.assert_close(batch.y, torch.tensor([1, 2.5, math.nan, 1]).double(), equal_nan=True)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="Columns must have equal lengths; 'smiles' has 3 and 'logp' 2"):
        list(read_molecules({"smiles": SMILES, "logp": [1, 2]}, smiles="smiles", labels=["logp"]))


@pytest.mark.parametrize(
    "name", ["ligand.mol2", "data/ligand.pdb", "some molecule.sdf.gz", "table.xlsx", "a.b.parquet"]
)
def test_names_of_other_files_are_no_smiles(name):
    with pytest.raises(ValueError, match="A file must end in one of .sdf, .*; got .* Convert it to .sdf"):
        list(read_molecules(name))
    read = list(itertools.islice(read_molecules([name, "C"]), 2))
    assert "A file must end in" in read[0].problem
    assert read[1].problem is None


def test_an_existing_file_of_another_ending_is_no_smiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LIGAND.MOL2").write_text("")
    with pytest.raises(ValueError, match="A file must end in"):
        list(read_molecules("LIGAND.MOL2"))


def test_columns_named_by_numbers():
    table = {0: ["C"], ("a", "b"): [1.5]}
    (read,) = read_molecules(table, smiles="0", labels=["('a', 'b')"])
    assert read.molecule["('a', 'b')"].item() == 1.5


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ("CCO,1e400\nO,2\n", {0: "logp must be finite or empty; got '1e400'"}),
        ('CCO,1\n"O,2\nC,3\n', {1: "Nothing from here on can be read: unexpected end of data. Is a quote closed"}),
        ('CCO,1,"5 inch\nO,2,x\nC,3,"y"\n', {0: "Nothing from here on can be read"}),  # two rows would be swallowed
    ],
)
def test_cells_that_cannot_be(tmp_path, rows, problems):
    names = "smiles,logp,note\n" if "inch" in rows else "smiles,logp\n"
    (tmp_path / "some.csv").write_text(names + rows)
    reads = list(read_molecules(tmp_path / "some.csv", smiles="smiles", labels=["logp"]))
    assert {place for place, read in enumerate(reads) if read.problem} == set(problems)
    for place, problem in problems.items():
        assert problem in reads[place].problem


def test_infinite_labels_are_refused():
    (read,) = read_molecules({"smiles": ["O"], "y": [float("inf")]}, smiles="smiles", labels=["y"])
    assert "y must be finite or empty; got inf" in read.problem
