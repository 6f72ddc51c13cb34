"""Conformers of many SMILES: equal to those made one by one, resumable, failures reported."""

import pytest
import torch

from molspectra.data import conformer_store as module
from molspectra.data import conformers, from_smiles, write_store

SMILES = ["CCO", "not a molecule", "c1ccccc1", "O=C=O", "[Xx]", "N"]


def test_equal_to_conformers_made_one_by_one(tmp_path):
    made = conformers(SMILES, tmp_path / "store", seed=3, chunk_size=2)
    assert [int(data.smiles_row) for data in made.store] == [0, 2, 3, 5]
    for data in made.store:
        expected = from_smiles(SMILES[int(data.smiles_row)], seed=3)
        assert data.smiles == expected.smiles
        for name in ("z", "pos", "bond_index", "bond_order", "formal_charge"):
            assert torch.equal(data[name], expected[name]), name
    assert sorted(made.failed) == [1, 4]
    assert "must be a valid SMILES" in made.failed[1]
    assert not (tmp_path / "store.chunks").exists()


def test_an_interrupted_call_goes_on(tmp_path, monkeypatch):
    made_chunks = []
    make_chunk = module._make_chunk

    def interrupted(smiles, start, *arguments):
        if len(made_chunks) == 2:
            raise KeyboardInterrupt
        make_chunk(smiles, start, *arguments)
        made_chunks.append(start)

    monkeypatch.setattr(module, "_make_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        conformers(SMILES, tmp_path / "store", chunk_size=2)
    assert made_chunks == [0, 2]
    made_chunks.clear()
    resumed = conformers(SMILES, tmp_path / "store", chunk_size=2)
    assert made_chunks == [4]
    assert [int(data.smiles_row) for data in resumed.store] == [0, 2, 3, 5]
    # A finished one is read.
    again = conformers(SMILES, tmp_path / "store", chunk_size=2)
    assert made_chunks == [4]
    assert again.failed == resumed.failed
    assert len(again.store) == 4


def test_a_call_that_was_interrupted_after_its_store_was_written_goes_on(tmp_path, monkeypatch):
    def interrupted(directory, molecules):
        write_store(directory, molecules)
        if directory.name == "store":
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_store", interrupted)
    with pytest.raises(KeyboardInterrupt):
        conformers(SMILES, tmp_path / "store")
    monkeypatch.undo()
    made = conformers(SMILES, tmp_path / "store")
    assert len(made.store) == 4
    assert sorted(made.failed) == [1, 4]
    assert not (tmp_path / "store.chunks").exists()


@pytest.mark.slow
def test_processes_change_nothing(tmp_path):
    alone = conformers(SMILES, tmp_path / "alone")
    together = conformers(SMILES, tmp_path / "together", num_workers=2)
    assert alone.failed == together.failed
    assert all(torch.equal(a.pos, b.pos) for a, b in zip(alone.store, together.store, strict=True))


def test_other_conformers_are_not_overwritten(tmp_path):
    conformers(["O"], tmp_path / "store")
    with pytest.raises(ValueError, match=r"store must be absent or hold conformers of the same SMILES, seed and"):
        conformers(["N"], tmp_path / "store")
    with pytest.raises(ValueError, match="must be absent"):
        conformers(["O"], tmp_path / "store", seed=1)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder must be absent"):
        conformers(["O"], tmp_path / "folder")


@pytest.mark.parametrize(
    ("smiles", "arguments", "error", "match"),
    [
        ("CCO", {}, TypeError, r"smiles of conformers must be a list; got 'CCO'. Write \['CCO'\]"),
        ([], {}, ValueError, "smiles must hold at least one"),
        (["x"], {}, ValueError, "No SMILES has a conformer"),
        (["O"], {"chunk_size": 0}, ValueError, "chunk_size"),
        (["O"], {"num_workers": -1}, ValueError, "num_workers"),
    ],
)
def test_bad_arguments(tmp_path, smiles, arguments, error, match):
    with pytest.raises(error, match=match):
        conformers(smiles, tmp_path / "store", **arguments)
