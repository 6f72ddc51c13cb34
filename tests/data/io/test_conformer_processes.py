"""Conformers from several processes, against those of this one."""

import itertools

import numpy as np
import pytest
import torch

import molspectra as ms
from molspectra.data import from_smiles, read_molecules

SMILES = ["CCO", "c1ccccc1", "C1CC", None, "N", "CC(=O)O"]


def table(tmp_path):
    path = tmp_path / "molecules.csv"
    path.write_text("smiles,logp\n" + "".join(f"{smiles or ''},{place}\n" for place, smiles in enumerate(SMILES)))
    return path


def lines(tmp_path):
    path = tmp_path / "molecules.smi"
    path.write_text("".join(f"{smiles} name {place}\n" for place, smiles in enumerate(SMILES)))
    return path


SOURCES = {
    "list": lambda tmp_path: (SMILES, {}),
    "mixture": lambda tmp_path: ([*SMILES, from_smiles("O"), [lines(tmp_path)]], {}),
    "table": lambda tmp_path: (table(tmp_path), {"smiles": "smiles", "labels": ["logp"]}),
    "lines": lambda tmp_path: (lines(tmp_path), {}),
}


@pytest.mark.parametrize("source", SOURCES)
def test_processes_change_nothing(source, tmp_path):
    molecules, options = SOURCES[source](tmp_path)
    one = list(read_molecules(molecules, seed=3, **options))
    several = list(read_molecules(molecules, seed=3, num_workers=2, **options))
    for expected, actual in zip(one, several, strict=True):
        assert (actual.name, actual.problem) == (expected.name, expected.problem)
        if expected.molecule is not None:
            assert actual.molecule.keys() == expected.molecule.keys()
            assert all(
                torch.equal(actual.molecule[field], value)
                for field, value in expected.molecule
                if isinstance(value, torch.Tensor)
            )


def test_features_of_several_processes():
    encoder = ms.encoders.PaiNN(8, 1)
    expected = ms.embed(encoder, ["CCO", "N", "C"], batch_size=2)
    np.testing.assert_array_equal(ms.embed(encoder, ["CCO", "N", "C"], batch_size=2, num_workers=2), expected)


def test_a_source_is_read_a_little_ahead():
    taken = itertools.count()
    reads = read_molecules((smiles for smiles in itertools.cycle(["C", "N"]) if next(taken) >= 0), num_workers=1)
    assert [next(reads).name for _ in range(3)] == ["C", "N", "C"]
    reads.close()  # ends the process, although the source has no end
    assert next(taken) < 40


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="num_workers must be at least 0; got -1"):
        next(read_molecules("C", num_workers=-1))
