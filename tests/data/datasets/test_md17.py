"""MD17: published frames and files written in the published layouts, against NumPy, PyG's reader and ASE's units."""

import io
import pickle
import shutil
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from molspectra.data import validate
from molspectra.data.datasets import md17
from molspectra.data.datasets.md17 import MD17
from molspectra.data.datasets.trajectory import Trajectory

Z = np.array([6, 1, 1, 1, 1], dtype=np.uint8)


def arrays(frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Frames of methane in the layout of MD17."""
    generator = np.random.default_rng(seed)
    return {
        "z": Z,
        "R": generator.normal(size=(frames, 5, 3)),
        "E": -25_000 + generator.normal(size=(frames, 1)),
        "F": generator.normal(size=(frames, 5, 3)),
    }


def original(file, frames: int, seed: int = 0, **changes) -> dict[str, np.ndarray]:
    written = arrays(frames, seed) | changes
    extra = {"name": "methane", "theory": "PBE+TS", "type": "d", "r_unit": "Ang", "e_unit": "kcal/mol", "md5": b"0"}
    np.savez_compressed(file, **{key: value for key, value in (extra | written).items() if value is not None})
    return written


def revised(path: Path, frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    written = arrays(frames, seed)
    old = {"old_indices": np.arange(frames), "old_energies": np.zeros(frames), "old_forces": 0 * written["F"]}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        nuclear_charges=written["z"],
        coords=written["R"],
        energies=written["E"][:, 0],
        forces=written["F"],
        **old,
    )
    return written


def coupled_cluster(path: Path, train: int, test: int) -> dict[str, dict[str, np.ndarray]]:
    parts = {"test": test, "train": train}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._ethanol_ccsd_t-test.npz", b"no archive")
        for seed, (part, frames) in enumerate(parts.items()):
            buffer = io.BytesIO()
            parts[part] = original(buffer, frames, seed)
            archive.writestr(f"ethanol_ccsd_t-{part}.npz", buffer.getvalue())
    return parts


def splits(folder: Path, frames: int) -> dict[tuple[str, int], list[int]]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for k in range(1, 6):
        order = np.random.default_rng(k).permutation(frames).tolist()
        for part, numbers in (("train", order[:3]), ("test", order[3:6])):
            written[part, k] = numbers
            (folder / f"index_{part}_{k:02d}.csv").write_text("".join(f"{n}\n" for n in numbers))
    return written


def assert_equal_frames(molecules, written, factor: float = 1.0) -> None:
    for frame, data in enumerate(molecules):
        assert data.z.tolist() == written["z"].tolist()
        assert data.energy.shape == (1,)
        assert data.energy.dtype == torch.float64
        np.testing.assert_allclose(data.energy.numpy(), written["E"][frame] * factor, rtol=1e-14)
        np.testing.assert_allclose(data.pos.numpy(), written["R"][frame], rtol=1e-6)
        np.testing.assert_allclose(data.forces.numpy(), written["F"][frame] * factor, rtol=1e-6)


def test_original_layout(tmp_path):
    (tmp_path / "raw").mkdir()
    written = original(tmp_path / "raw" / "md17_ethanol.npz", 7)
    dataset = MD17(tmp_path, "ethanol")
    assert len(dataset) == 7
    assert_equal_frames(dataset, written)
    assert dataset.units == MD17.units == {"pos": "Å", "energy": "kcal/mol", "forces": "kcal/mol/Å"}
    for data in dataset:
        validate(data)
    assert_equal_frames(pickle.loads(pickle.dumps(dataset)), written)  # as it goes to workers
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch.energy.shape == (4,)
    assert batch.forces.shape == batch.pos.shape == (20, 3)
    with pytest.raises(ValueError, match=r"k must be .* \(1, of the coupled-cluster sets alone\); got 1 for 'ethanol'"):
        dataset.split()


def test_units(tmp_path):
    from ase import units as ase_units

    (tmp_path / "raw").mkdir()
    written = original(tmp_path / "raw" / "md17_ethanol.npz", 3)
    ev = MD17(tmp_path, "ethanol", unit="eV")
    assert ev.units == {"pos": "Å", "energy": "eV", "forces": "eV/Å"}
    # ASE's constants are those of CODATA 2014, good to 1e-8.
    factor = ase_units.kcal / ase_units.mol
    np.testing.assert_allclose(ev[1].energy.numpy(), written["E"][1] * factor, rtol=1e-7)
    np.testing.assert_allclose(ev[1].forces.numpy(), written["F"][1] * factor, rtol=1e-6)
    assert_equal_frames(MD17(tmp_path, "ethanol"), written)  # the two do not get in each other's way


def test_revised_layout_and_splits(tmp_path):
    written = revised(tmp_path / "raw" / "rmd17" / "npz_data" / "rmd17_salicylic.npz", 11)
    numbers = splits(tmp_path / "raw" / "rmd17" / "splits", 11)
    dataset = MD17(tmp_path, "salicylic acid", revised=True)
    assert_equal_frames(dataset, written)
    for k in range(1, 6):
        train, test = dataset.split(k)
        assert (train.tolist(), test.tolist()) == (numbers["train", k], numbers["test", k])
    assert len(dataset[train]) == 3
    for k in (0, 6):
        with pytest.raises(ValueError, match=rf"\(1 to 5\); got {k} for 'salicylic acid'"):
            dataset.split(k)
    with pytest.raises(ValueError, match="split needs all 11 published frames"):
        dataset[:5].split(1)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("1\n2\nx\n", "index_train_01.csv, line 3: expected the number of a frame, 0 to 8; got 'x'"),
        ("1\n9\n", "line 2: expected the number of a frame, 0 to 8; got '9'"),
        ("1\n-2\n", "line 2"),
        ("1\n1\n", "must list frames, each once; it lists 2, 1 different"),
        ("", "it lists 0, 0 different"),
    ],
)
def test_damaged_splits(tmp_path, content, match):
    revised(tmp_path / "raw" / "rmd17" / "npz_data" / "rmd17_ethanol.npz", 9)
    splits(tmp_path / "raw" / "rmd17" / "splits", 9)
    (tmp_path / "raw" / "rmd17" / "splits" / "index_train_01.csv").write_text(content)
    with pytest.raises(ValueError, match=match):
        MD17(tmp_path, revised=True).split(1)


def test_archive_of_revised_md17_put_there_by_hand(tmp_path):
    source = tmp_path / "source"
    written = revised(source / "rmd17" / "npz_data" / "rmd17_ethanol.npz", 8)
    revised(source / "rmd17" / "npz_data" / "rmd17_toluene.npz", 8, seed=1)
    splits(source / "rmd17" / "splits", 8)
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    with tarfile.open(raw / "rmd17.tar.bz2", "w:bz2") as archive:
        archive.add(source / "rmd17", "./rmd17")
        archive.add(source / "rmd17" / "npz_data" / "rmd17_ethanol.npz", "../outside.npz")
    assert_equal_frames(MD17(tmp_path / "data", revised=True), written)
    found = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data" / "raw").rglob("*.npz")}
    assert found == {"raw/rmd17/npz_data/rmd17_ethanol.npz"}
    assert not list(tmp_path.rglob("outside.npz"))
    with pytest.raises(ValueError, match="rmd17.tar.bz2 has no rmd17/npz_data/rmd17_uracil.npz, but"):
        MD17(tmp_path / "data", "uracil", revised=True)
    complete = (raw / "rmd17.tar.bz2").read_bytes()
    for content in (complete[: len(complete) // 2], b"no archive"):
        (raw / "rmd17.tar.bz2").write_bytes(content)
        with pytest.raises(ValueError, match="rmd17.tar.bz2 is damaged or truncated"):
            MD17(tmp_path / "data", "toluene", revised=True)


def test_download(tmp_path, monkeypatch):
    source = tmp_path / "source"
    written = revised(source / "rmd17" / "npz_data" / "rmd17_ethanol.npz", 8)
    splits(source / "rmd17" / "splits", 8)
    with tarfile.open(source / "rmd17.tar.bz2", "w:bz2") as archive:
        archive.add(source / "rmd17", "rmd17")
    plain = original(source / "md17_ethanol.npz", 5)
    monkeypatch.setattr(md17, "_URL", source.as_uri() + "/")
    monkeypatch.setattr(md17, "_REVISED_URL", (source / "rmd17.tar.bz2").as_uri())
    assert_equal_frames(MD17(tmp_path / "data"), plain)
    assert_equal_frames(MD17(tmp_path / "data", revised=True), written)


def test_coupled_cluster_zip(tmp_path):
    (tmp_path / "raw").mkdir()
    written = coupled_cluster(tmp_path / "raw" / "ethanol_ccsd_t.zip", train=6, test=4)
    dataset = MD17(tmp_path, "ethanol CCSD(T)")
    train, test = dataset.split()
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9])
    assert_equal_frames(dataset[train], written["train"])
    assert_equal_frames(dataset[test], written["test"])


def test_one_file_is_a_sequence_of_frames(tmp_path):
    written = original(tmp_path / "a.npz", 9)
    frames = MD17.from_file(tmp_path / "a.npz")
    assert repr(frames) == "Trajectory: 9 frames of 5 atoms, energies in kcal/mol"
    assert_equal_frames(frames, written)
    assert frames.units == MD17.units
    for part, expected in (
        (slice(2, 8, 3), [2, 5]),
        ([4, -1], [4, 8]),
        (torch.tensor([3, 0]), [3, 0]),
        (torch.arange(9) > 6, [7, 8]),
    ):
        assert isinstance(frames[part], Trajectory)
        assert_equal_frames(frames[part], {"z": Z, **{key: written[key][expected] for key in "REF"}})
    assert torch.equal(frames[-1].pos, frames[8].pos)
    assert torch.equal(frames[torch.tensor(3)].pos, frames[3].pos)
    for index in (9, -10):
        with pytest.raises(IndexError, match=f"index must lie in 0..8 .*; got {index}"):
            frames[index]
    frames[0].pos.zero_()
    assert_equal_frames(frames, written)
    batch = next(iter(DataLoader(frames, batch_size=9)))
    assert batch.pos.shape == (45, 3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"F": None}, r"lacks \['F'\] and holds"),
        ({"R": np.zeros((4, 4, 3))}, r"has z \(5,\), positions \(4, 4, 3\), .*, which do not fit together"),
        ({"E": np.zeros(3)}, "do not fit together"),
        ({"z": Z * 0.5}, "has atomic numbers .*, which must be integers in 1..118"),
        ({"z": Z - 1}, "has atomic numbers"),
        ({"E": np.array([1, 2, np.nan, 4])}, "must be finite; in frame 2 the energy is not finite"),
        ({"R": np.full((4, 5, 3), np.inf)}, "in frame 0 the position is not finite"),
        ({"e_unit": "eV"}, "has e_unit 'eV', expected 'kcal/mol'; convert it"),
        ({"r_unit": np.array(b"a0")}, "has r_unit 'a0', expected 'Ang'"),
        ({"E": np.array([[{}]] * 4, dtype=object)}, "allow_pickle=False"),
    ],
)
def test_damaged_arrays(tmp_path, changes, match):
    original(tmp_path / "a.npz", 4, **changes)
    with pytest.raises(ValueError, match=match) as caught:
        MD17.from_file(tmp_path / "a.npz")
    assert "a.npz" in str(caught.value)


def test_broken_frames_are_skipped_on_request(tmp_path):
    (tmp_path / "raw").mkdir()
    written = original(tmp_path / "raw" / "md17_ethanol.npz", 6, E=np.array([1, 2, np.nan, 4, 5, 6.0]))
    with pytest.raises(ValueError, match="md17_ethanol.npz, record frame 2: the energy is not finite"):
        MD17(tmp_path)
    with pytest.warns(UserWarning, match="skipped 1 broken record"):
        dataset = MD17(tmp_path, skip_broken=True)
    kept = [0, 1, 3, 4, 5]
    assert_equal_frames(dataset, {"z": Z, **{key: written[key][kept] for key in "REF"}})
    assert [record for _, record, _ in dataset.skipped] == ["frame 2"]
    with pytest.raises(ValueError, match="split needs all 5 published frames.*by skip_broken"):
        dataset.split()


def test_damaged_files(tmp_path):
    path = tmp_path / "a.npz"
    original(path, 200)
    complete = path.read_bytes()
    flipped = bytearray(complete)
    flipped[len(complete) // 2] ^= 0xFF
    for content in (b"", b"text", complete[:-200], complete[: len(complete) // 3], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a.npz must be an .npz with the arrays \['z', 'R', 'E', 'F'\]"):
            MD17.from_file(path)
    coupled_cluster(tmp_path / "b.zip", 3, 3)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as target, zipfile.ZipFile(tmp_path / "b.zip") as source:
        target.writestr("ethanol_ccsd_t-train.npz", source.read("ethanol_ccsd_t-train.npz"))
    with pytest.raises(ValueError, match="it must hold a -train.npz and a -test.npz, and holds"):
        MD17.from_file(tmp_path / "c.zip")
    with pytest.raises(FileNotFoundError):
        MD17.from_file(tmp_path / "none.npz")


def test_parts_of_different_molecules(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part, z in (("train", Z), ("test", Z[::-1])):
            buffer = io.BytesIO()
            original(buffer, 2, z=z)
            archive.writestr(f"a-{part}.npz", buffer.getvalue())
    with pytest.raises(ValueError, match="must hold one molecule; its parts have different atoms"):
        MD17.from_file(tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"name": "caffeine"}, r"name must be one of \['aspirin', .*; got 'caffeine'"),
        ({"name": "ethanol CCSD(T)", "revised": True}, "where revised=True; got"),
        ({"unit": "Hartree"}, 'unit must be "kcal/mol" or "eV"; got \'Hartree\''),
    ],
)
def test_refused_arguments(tmp_path, arguments, match):
    with pytest.raises(ValueError, match=match):
        MD17(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_published_frames(sample_files, tmp_path):
    path = sample_files / "md17" / "mlff_ethanol.npz"  # every 97th of 2,000 frames
    with np.load(path, allow_pickle=False) as published:
        written = {key: published[key] for key in "zREF"}
    frames = MD17.from_file(path)
    assert len(frames) == 21
    assert_equal_frames(frames, written)
    # Next to no net force on a molecule in free space, and no net torque.
    assert frames.forces.sum(dim=1).abs().max() < 0.3
    torque = torch.linalg.cross(frames.pos, frames.forces).sum(dim=1)
    assert torque.abs().max() < 0.3
    assert frames.forces.abs().max() > 50


def test_computed_frames(sample_files):
    from ase import units as ase_units

    path = sample_files / "md17" / "ethanol_gfn2_md.npz"  # every tenth of 2,000 frames, in kcal/mol
    frames = MD17.from_file(path, unit="eV")
    assert len(frames) == 200
    with np.load(path) as written:
        expected = written["E"].mean() * ase_units.kcal / ase_units.mol
    assert float(frames.energy.mean()) == pytest.approx(expected, rel=1e-6)
    # GFN2-xTB's total energy of ethanol, in eV (the bundled sample data set).
    assert float(frames.energy.mean()) == pytest.approx(-309.6, abs=2)


def test_equals_pyg(tmp_path):
    from torch_geometric.datasets import MD17 as PyGMD17

    for folder in (tmp_path / "ethanol" / "raw", tmp_path / "own" / "raw"):
        folder.mkdir(parents=True)
    original(tmp_path / "own" / "raw" / "md17_ethanol.npz", 6)
    shutil.copy(tmp_path / "own" / "raw" / "md17_ethanol.npz", tmp_path / "ethanol" / "raw")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its loading files
        other = PyGMD17(str(tmp_path), "ethanol")
    own = MD17(tmp_path / "own")
    assert len(own) == len(other)
    for a, b in zip(own, other, strict=True):
        assert torch.equal(a.z, b.z)
        assert torch.equal(a.pos, b.pos)
        assert torch.equal(a.forces, b.force)
        assert torch.equal(a.energy.float(), b.energy)
