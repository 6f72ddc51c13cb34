"""The command line, run as a user does."""

import importlib.metadata
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import molspectra as ms
from molspectra.__main__ import main
from tests.test_embedding import published_molecules


@pytest.fixture
def model(tmp_path):
    encoder = ms.encoders.PaiNN(8, 2, 4)
    ms.pretrained.save(encoder, tmp_path / "model")
    return encoder.eval()


def write(path, text):
    path.write_text(text)
    return str(path)


def test_features_of_a_file(tmp_path, model, capsys):
    molecules = write(tmp_path / "some.smi", "CCO ethanol\nC1CC\nO\n")
    out = tmp_path / "features.npz"
    arguments = ["embed", molecules, "-o", str(out), "--model", str(tmp_path / "model"), "--quiet", "--batch-size", "2"]
    assert main(arguments) == 1
    assert "1 molecules failed:\n  some.smi, line 2: C1CC: smiles must be" in capsys.readouterr().err
    with np.load(out) as found:
        assert found["names"].tolist() == ["ethanol", "some.smi, line 2: C1CC", "O"]
        assert [bool(problem) for problem in found["problems"]] == [False, True, False]
        np.testing.assert_allclose(found["features"][[0, 2]], ms.embed(model, ["CCO", "O"]), rtol=1e-5, atol=1e-6)
        assert np.isnan(found["features"][1]).all()
    assert main([*arguments, "--pool", "none", "--layers", "0", "1"]) == 1
    with np.load(out) as found:
        assert found["atom_offset"].tolist() == [0, 9, 9, 12]
        assert found["features"].shape == (12, 2, 8)


def test_a_table_in_and_out(tmp_path, model):
    import pandas

    molecules = write(tmp_path / "in.csv", "id;structure;logp\n1;CCO;-0.3\n2;;0.1\n3;O;\n")
    arguments = ["embed", molecules, "--model", str(tmp_path / "model"), "--quiet", "-o", str(tmp_path / "out.csv")]
    assert main(arguments) == 2
    assert main([*arguments, "--smiles", "structure"]) == 1
    table = pandas.read_csv(tmp_path / "out.csv").drop(columns=["name", "problem"]).to_numpy()
    assert np.isnan(table).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(table[[0, 2]], ms.embed(model, ["CCO", "O"]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "CSV"])
@pytest.mark.parametrize(
    "options", [[], ["--layers", "all"], ["--pool", "none"], ["--pool", "mean+max", "--no-hydrogens"]]
)
def test_tables(tmp_path, model, suffix, options):
    import pandas

    molecules = write(tmp_path / "some.smi", "CCO ethanol\nC1CC ring, broken\nO\n")
    arrays, table = tmp_path / "o.npz", tmp_path / f"o.{suffix}"
    arguments = ["embed", molecules, "--model", str(tmp_path / "model"), "--quiet", *options]
    assert [main([*arguments, "-o", str(out)]) for out in (arrays, table)] == [1, 1]
    read = (pandas.read_parquet if suffix == "parquet" else pandas.read_csv)(table)
    features = read.drop(columns=["name", "problem", "atom"], errors="ignore").to_numpy()
    failed = read["name"].str.startswith("some.smi, line 2: ring, broken")
    assert failed.sum() == 1
    assert read["problem"][failed].str.contains("must be a valid SMILES").all()
    assert np.isnan(features[failed]).all()
    with np.load(arrays) as found:
        expected = found["features"].reshape(len(found["features"]), -1)
        if "atom" in read:
            np.testing.assert_array_equal(read["atom"], [*range(9), -1, *range(3)])
        else:
            failed[:] = False
        np.testing.assert_array_equal(features[~failed].astype(np.float32), expected)


def test_published_graph_representations(tmp_path, reference, load_fixture):
    """By way of ASE's .xyz, which has the digits, but no bonds; those guessed are the right ones."""
    import ase

    checkpoint = reference / "emgp" / "checkpoint-3dmgp.safetensors"
    molecules, expected = published_molecules(load_fixture)
    path = tmp_path / "molecules.xyz"
    for molecule in molecules:
        ase.Atoms(molecule.z.numpy(), molecule.pos.double().numpy()).write(path, format="extxyz", append=True)
    out = tmp_path / "features.npz"
    assert main(["embed", str(path), "-o", str(out), "--model", str(checkpoint), "--pool", "head", "--quiet"]) == 0
    with np.load(out) as found:
        features = torch.from_numpy(found["features"])
    assert (features - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"molecules": "missing.sdf"}, "There is no file missing.sdf"),
        ({"--model": "no-such-model"}, "no-such-model"),
        ({"--pool": "head"}, 'pool="head" needs a model with an energy head'),
        ({"--layers": "9"}, "layers must lie in -2..1"),
        ({"--layers": "last"}, "--layers must be numbers, or all; got last"),
        ({"--pool": "median"}, "pool must be"),
        ({"--output": "o.zip"}, "The output must end in .npz, .csv, .parquet"),
        ({"--output": "o"}, "The output must end in .npz, .csv, .parquet"),
        ({"--output": "no/such/folder/out.npz"}, "--output must be in a folder that exists"),
        ({"--device": "nowhere"}, "nowhere"),
        ({"molecules": "CCO"}, "There is no file CCO.\n"),
        ({"molecules": "."}, "must be a file; it is a folder"),
    ],
)
def test_mistakes_are_explained(tmp_path, model, capsys, change, message):
    molecules = write(tmp_path / "some.smi", "O\n")
    options = {"--output": str(tmp_path / "out.npz"), "--model": str(tmp_path / "model")} | change
    molecules = options.pop("molecules", molecules)
    assert main(["embed", molecules, "--quiet", *(part for option in options.items() for part in option)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_outputs_that_would_destroy_something(tmp_path, model, capsys):
    table = write(tmp_path / "in.csv", "smiles\nO\n")
    (tmp_path / "folder.csv").mkdir()
    arguments = ["embed", table, "--smiles", "smiles", "--model", str(tmp_path / "model"), "--quiet", "-o"]
    for output, message in [
        (table, "--output must be another file than the molecules"),
        (str(tmp_path / "model" / ".." / "in.csv"), "--output must be another file than the molecules"),
        (str(tmp_path / "folder.csv"), "is a folder. Name a file in it"),
    ]:
        assert main([*arguments, output]) == 2
        assert message in capsys.readouterr().err
    assert Path(table).read_text() == "smiles\nO\n"


def test_smiles_of_the_standard_input(tmp_path, model, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("CCO ethanol\n\nC1CC\nO\n"))
    arguments = ["embed", "-", "-o", str(tmp_path / "o.npz"), "--model", str(tmp_path / "model"), "--quiet"]
    assert main(arguments) == 1
    with np.load(tmp_path / "o.npz") as found:
        assert found["names"].tolist() == ["CCO", "C1CC", "O"]
        np.testing.assert_allclose(found["features"][[0, 2]], ms.embed(model, ["CCO", "O"]), rtol=1e-5, atol=1e-6)


def test_a_model_that_is_no_encoder(tmp_path, capsys):
    ms.pretrained.save(ms.heads.ScalarHead(8), tmp_path / "head")
    arguments = ["embed", write(tmp_path / "some.smi", "O\n"), "-o", str(tmp_path / "o.npz"), "--quiet"]
    assert main([*arguments, "--model", str(tmp_path / "head")]) == 2
    assert "holds a ScalarHead. Save the encoder alone." in capsys.readouterr().err


def test_a_file_in_which_nothing_can_be_read(tmp_path, model, capsys):
    molecules = write(tmp_path / "some.smi", "C1CC\n")
    assert main(["embed", molecules, "-o", str(tmp_path / "o.npz"), "--model", str(tmp_path / "model"), "--quiet"]) == 2
    assert "No molecule could be embedded of 1" in capsys.readouterr().err


def test_checkpoints_are_listed(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ms.pretrained.list_checkpoints())
    assert all(ms.pretrained.checkpoint_info(line.split()[0]).source in line for line in lines)


def test_version_of_the_installed_script():
    script = Path(sys.executable).with_name("molspectra")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"molspectra {ms.__version__}"


def test_info_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "molspectra", "info"], capture_output=True, text=True, check=True)
    assert f"molspectra {ms.__version__}" in done.stdout
    assert f"torch {importlib.metadata.version('torch')}" in done.stdout
