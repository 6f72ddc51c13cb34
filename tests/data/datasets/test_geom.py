"""GEOM: files written in the published layout, against the records that went into them; and damage."""

import io
import math
import pickle
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgpack
import pytest
import torch

from molspectra.data import validate
from molspectra.data.datasets import geom
from molspectra.data.datasets.geom import GEOM, read_geom


def molecule(seed: int, conformers: int, z: tuple[int, ...] = (6, 8, 1, 1)) -> dict[str, Any]:
    """A record, its conformers out of order, with what GEOM has besides."""
    generator = torch.Generator().manual_seed(seed)
    relative = (torch.arange(conformers) * 0.7)[torch.randperm(conformers, generator=generator)].tolist()
    factors = [math.exp(-energy / 0.5925) for energy in relative]
    return {
        "charge": seed % 2,
        "ensembleenergy": 0.1,
        "lowestenergy": -10.0,
        "temperature": 298.15,
        "totalconfs": conformers,
        "uniqueconfs": conformers,
        "conformers": [
            {
                "geom_id": 100 * seed + i,
                "set": 1,
                "degeneracy": i + 1,
                "totalenergy": -10.0 - seed + energy / 627.509474,
                "relativeenergy": energy,
                "boltzmannweight": factor / sum(factors),
                "conformerweights": [factor / sum(factors)],
                "xyz": [[float(n), *torch.randn(3, generator=generator).tolist()] for n in z],
            }
            for i, (energy, factor) in enumerate(zip(relative, factors, strict=True))
        ],
    }


def molecules() -> dict[str, dict[str, Any]]:
    return {"C=O": molecule(1, 5), "CO": molecule(2, 1, (6, 8, 1, 1, 1, 1)), "[He]": molecule(3, 3, (2,))}


def packed(records: dict[str, Any], per_map: int = 2) -> bytes:
    """A stream of maps, of a few molecules each."""
    items = list(records.items())
    return b"".join(msgpack.packb(dict(items[i : i + per_map])) for i in range(0, len(items), per_map))


def archive(path: Path, content: bytes, name: str = "qm9_crude.msgpack") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as target:
        for member, data in (("README", b"GEOM"), (name, content)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return path


def raw(root: Path, subset: str = "qm9") -> Path:
    return root / "raw" / f"{subset}_crude.msgpack.tar.gz"


@pytest.mark.parametrize("subset", ["qm9", "drugs"])
@pytest.mark.parametrize("conformers", [1, 2, None])
def test_conformers(tmp_path, subset, conformers):
    records = molecules()
    archive(raw(tmp_path, subset), packed(records), f"{subset}_crude.msgpack")
    dataset = iter(GEOM(tmp_path, subset, conformers=conformers))
    for smiles, record in records.items():
        expected = sorted(record["conformers"], key=lambda conformer: conformer["totalenergy"])
        for conformer in expected[:conformers]:
            data = next(dataset)
            validate(data)
            assert data.smiles == smiles
            assert data.z.tolist() == [int(row[0]) for row in conformer["xyz"]]
            expected_pos = torch.tensor([row[1:] for row in conformer["xyz"]], dtype=torch.float32)
            torch.testing.assert_close(data.pos, expected_pos)
            # 1 Hartree = 27.2114 eV = 627.5095 kcal/mol.
            assert float(data.energy) == pytest.approx(conformer["totalenergy"] * 27.211386, rel=1e-8)
            assert float(data.relative_energy) == pytest.approx(conformer["relativeenergy"] / 23.060548, rel=1e-6)
            assert float(data.boltzmann_weight) == pytest.approx(conformer["boltzmannweight"], rel=1e-6)
            assert data.degeneracy.tolist() == [conformer["degeneracy"]]
            assert data.charge.tolist() == [record["charge"]]
    assert next(dataset, None) is None


def test_choices_do_not_get_in_each_others_way(tmp_path):
    archive(raw(tmp_path), packed(molecules()))
    assert [len(GEOM(tmp_path, conformers=n)) for n in (1, 2, None)] == [3, 5, 9]
    everything = pickle.loads(pickle.dumps(GEOM(tmp_path, conformers=None)))  # as it goes to workers
    for smiles in molecules():
        mine = [data for data in everything if data.smiles == smiles]
        assert sum(float(data.boltzmann_weight) for data in mine) == pytest.approx(1)
        # The weights are those of the energies, at 298.15 K (k T = 0.025693 eV).
        ratio = [float(data.boltzmann_weight / mine[0].boltzmann_weight) for data in mine]
        assert ratio == pytest.approx([math.exp(-float(data.relative_energy) / 0.025693) for data in mine], rel=1e-2)


def test_an_unpacked_file_will_do(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "qm9_crude.msgpack").write_bytes(packed(molecules()))
    assert len(GEOM(tmp_path)) == 3


def test_download(tmp_path, monkeypatch):
    source = archive(tmp_path / "4327190", packed(molecules()))
    monkeypatch.setitem(geom._URLS, "qm9", source.as_uri())
    assert len(GEOM(tmp_path / "data")) == 3
    assert raw(tmp_path / "data").is_file()


@pytest.mark.parametrize("packing", ["archive", "plain"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_truncated_files(tmp_path, packing, kept):
    content = packed(molecules(), 1)
    path = tmp_path / "qm9_crude.msgpack"
    path.write_bytes(content[: int(kept * len(content))])
    if packing == "archive":
        path = archive(tmp_path / "a.tar.gz", content)
        path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(
        ValueError, match=r"is damaged, truncated or no MessagePack file of GEOM.* The last molecule read"
    ):
        list(read_geom(path))


def test_a_truncated_stream_names_the_last_molecule(tmp_path):
    content = packed(molecules(), 2)
    (tmp_path / "a.msgpack").write_bytes(content[:-3])
    with pytest.raises(ValueError, match=r"in the middle of a molecule.*last molecule read was 'CO'"):
        list(read_geom(tmp_path / "a.msgpack"))
    path = archive(tmp_path / "b.tar.gz", content[:-3])
    with pytest.raises(ValueError, match=r"in the middle of a molecule.*last molecule read was 'CO'"):
        list(read_geom(path))


def test_damaged_files(tmp_path):
    path = archive(tmp_path / "a.tar.gz", packed(molecules()))
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 0x10
    path.write_bytes(bytes(flipped))
    with pytest.raises(ValueError, match="is damaged"):
        list(read_geom(path))
    for content in (b"text", msgpack.packb([1, 2]), msgpack.packb({1: 2}), msgpack.packb({"C": 1}), b"\xc1\xc1"):
        (tmp_path / "b.msgpack").write_bytes(content)
        with pytest.raises(ValueError, match="no MessagePack file of GEOM.*The last molecule read was none"):
            list(read_geom(tmp_path / "b.msgpack"))
    with pytest.raises(ValueError, match=r"has no file \*.msgpack"):
        list(read_geom(archive(tmp_path / "c.tar.gz", b"", "qm9.json")))
    with pytest.raises(FileNotFoundError):
        list(read_geom(tmp_path / "none.tar.gz"))


def broken(change) -> dict[str, Any]:
    record = molecule(4, 2)
    change(record)
    return record


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r: r.pop("conformers"), "it must have a list of conformers"),
        (lambda r: r.update(conformers=[]), "it must have a list of conformers"),
        (lambda r: r["conformers"][0].pop("boltzmannweight"), r"its conformers lack \['boltzmannweight'\]"),
        (lambda r: r["conformers"][0].update(xyz=[[6.0, 0.0]]), r"rows of atomic number, x, y, z; got shape \(1, 2\)"),
        (lambda r: r["conformers"][0]["xyz"][0].pop(), "record 2"),
        (lambda r: r["conformers"][1]["xyz"][0].__setitem__(0, 6.5), "atomic numbers must be integers"),
        (lambda r: r["conformers"][1]["xyz"][0].__setitem__(0, 119.0), "z must lie in 1..118"),
        (lambda r: r["conformers"][1]["xyz"][0].__setitem__(1, math.nan), "pos must be finite"),
        (lambda r: r["conformers"][1]["xyz"][0].__setitem__(0, 7.0), "its conformers are of different atoms"),
        (lambda r: r["conformers"][1].update(totalenergy=math.nan), "energies must be finite"),
        (lambda r: r["conformers"][1].update(boltzmannweight=1.5), "weights lie in 0..1"),
        (lambda r: r["conformers"][1].update(totalenergy=None), "record 2"),
    ],
)
def test_broken_records(tmp_path, change, match):
    records = {"C=O": molecule(1, 2), "bad": broken(change), "CO": molecule(2, 1)}
    archive(raw(tmp_path), packed(records))
    with pytest.raises(ValueError, match=match) as caught:
        GEOM(tmp_path, conformers=None)
    assert "qm9_crude.msgpack.tar.gz, record 2 (bad)" in str(caught.value)
    with pytest.warns(UserWarning, match="skipped 1 broken record"):
        dataset = GEOM(tmp_path, conformers=None, skip_broken=True)
    assert [data.smiles for data in dataset] == ["C=O", "C=O", "CO"]
    assert dataset.skipped[0].record == "2 (bad)"


@pytest.mark.parametrize("name", ["rdkit_folder", "rdkit_folder.tar.gz"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"holds pickled RDKit molecules.* runs whatever program.*qm9_crude.msgpack"):
        GEOM(tmp_path)
    with pytest.raises(ValueError, match="holds pickled RDKit molecules"):
        list(read_geom(tmp_path / "raw" / name))
    with pytest.raises(ValueError, match="holds pickled RDKit molecules"):
        list(read_geom(tmp_path / "CCO.pickle"))


def test_without_msgpack(tmp_path, monkeypatch):
    path = archive(raw(tmp_path), packed(molecules()))
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(ImportError, match=r"GEOM needs msgpack; install it with `pip install molspectra\[datasets\]`"):
        list(read_geom(path))
    path.unlink()
    with pytest.raises(ImportError, match="GEOM needs msgpack"):  # ahead of a long download
        GEOM(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"subset": "covid"}, 'subset must be "qm9" or "drugs"; got \'covid\''),
        ({"conformers": 0}, "conformers must be at least 1, or None for all; got 0"),
    ],
)
def test_refused_arguments(tmp_path, arguments, match):
    with pytest.raises(ValueError, match=match):
        GEOM(tmp_path, **arguments)
