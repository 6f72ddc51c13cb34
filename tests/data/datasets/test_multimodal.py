"""The multimodal data set: true rows of it, and rows in its layout, against loops and its tables of peaks."""

import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch_geometric.loader import DataLoader

from molspectra.data import Collate, SpectrumAxis, from_smiles, validate
from molspectra.data.datasets import multimodal
from molspectra.data.datasets.multimodal import MultimodalSpectra, bin_peaks
from molspectra.spectra import SpecFormer

SMILES = ["CO", "C=O", "CC#N"]
MSMS = [f"msms_cfmid_{mode}_{energy}ev" for mode in ("positive", "negative") for energy in (10, 20, 40)]
MASS = [*MSMS, "msms_iceberg_positive", "msms_scarf_positive"]
SMALL = ("ir", "msms_positive_20ev")


def rows(smiles=SMILES, **changes) -> dict[str, list]:
    """Columns of a shard, as far as they are read, with one that is not."""
    generator = np.random.default_rng(0)
    n = len(smiles)
    columns = {
        "smiles": list(smiles),
        "molecular_formula": ["?"] * n,
        "h_nmr_spectra": list(generator.random((n, 10000)).astype(np.float32)),
        "c_nmr_spectra": list(generator.random((n, 10000))),
        "ir_spectra": list(generator.random((n, 1800)).astype(np.float32)),
        **{name: [[[15.02, 30.0], [31.018, 100.0]]] * n for name in MASS},
    }
    return columns | changes


def shard(path: Path, columns: dict[str, list], row_group_size: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def replaced(column: str, row: int, value) -> dict[str, list]:
    columns = rows()
    columns[column][row] = value
    return columns


def test_molecules_and_all_spectra(tmp_path):
    columns = rows()
    shard(tmp_path / "raw" / "aligned_chunk_0.parquet", columns)
    dataset = MultimodalSpectra(tmp_path, seed=3)
    assert len(dataset) == len(SMILES)
    assert set(dataset.axes) == set(MultimodalSpectra.axes)
    for row, data in enumerate(dataset):
        validate(data, kinds=tuple(dataset.axes))
        own = from_smiles(SMILES[row], seed=3)
        for field in ("z", "pos", "bond_index", "bond_order", "formal_charge"):
            assert torch.equal(data[field], own[field]), field
        assert data.smiles == SMILES[row]
        for kind, axis in dataset.axes.items():
            assert data[kind].shape == (1, axis.length)
            assert data[kind].dtype == torch.float32
        np.testing.assert_array_equal(data.ir[0].numpy(), columns["ir_spectra"][row])
        np.testing.assert_array_equal(data.h_nmr[0].numpy(), columns["h_nmr_spectra"][row][::-1])
        np.testing.assert_allclose(data.c_nmr[0].numpy(), columns["c_nmr_spectra"][row][::-1], rtol=1e-6)
        expected = torch.zeros(1001)
        expected[15], expected[31] = 30.0, 100.0
        for kind in set(dataset.axes) - {"ir", "h_nmr", "c_nmr"}:
            assert torch.equal(data[kind][0], expected), kind
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[1].pos, dataset[1].pos)  # as it goes to workers
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.c_nmr.shape == (3, 10000)


def test_axes_are_the_published_grids():
    axes = MultimodalSpectra.axes
    np.testing.assert_allclose(axes["ir"].grid, np.linspace(400, 4000, 1800), rtol=1e-12)
    np.testing.assert_allclose(axes["h_nmr"].grid, np.linspace(10, -2, 10000)[::-1], atol=1e-11)
    np.testing.assert_allclose(axes["c_nmr"].grid, np.linspace(230, -20, 10000)[::-1], atol=1e-10)
    assert all(axis.name == kind for kind, axis in axes.items())
    assert [axes["msms_positive_20ev"].grid[i].item() for i in (0, 1, -1)] == [0, 1, 1000]


def test_choice_of_kinds_and_axis(tmp_path):
    shard(tmp_path / "raw" / "a.parquet", rows())
    fine = SpectrumAxis("any", 10, 40, 0.5, "m/z")
    dataset = MultimodalSpectra(tmp_path, kinds=["msms_iceberg"], mass_axis=fine)
    assert dict(dataset.axes) == {"msms_iceberg": SpectrumAxis("msms_iceberg", 10, 40, 0.5, "m/z")}
    assert "ir" not in dataset[0]
    assert dataset[0].msms_iceberg[0].nonzero().flatten().tolist() == [10, 42]  # 15.02 and 31.018
    assert MultimodalSpectra(tmp_path, kinds=["ir"])[0].ir.shape == (1, 1800)
    with pytest.raises(ValueError, match=r"row|record 0 \(CO\): peaks must lie on the axis .*got one at 31.018"):
        MultimodalSpectra(tmp_path, kinds=["msms_scarf"], mass_axis=SpectrumAxis("any", 0, 30, 1, "m/z"))


def test_shards_come_by_number(tmp_path):
    for number, smiles in ((10, "C"), (2, "N"), (0, "O")):
        shard(tmp_path / "raw" / "shards" / f"aligned_chunk_{number}.parquet", rows([smiles]))
    assert [data.smiles for data in MultimodalSpectra(tmp_path, kinds=SMALL)] == ["O", "N", "C"]


def test_archive_put_there_by_hand(tmp_path):
    source = shard(tmp_path / "source.parquet", rows())
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / "multimodal_spectroscopic_dataset.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.write(source, "multimodal_spectroscopic_dataset/aligned_chunk_0.parquet")
        target.write(source, "../../aligned_chunk_1.parquet")
    complete = path.read_bytes()
    damaged = bytearray(complete)
    damaged[1000] ^= 0xFF
    for content in (complete[:-100], bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="dataset.zip is damaged or truncated"):
            MultimodalSpectra(tmp_path, kinds=SMALL)
    path.write_bytes(complete)
    assert len(MultimodalSpectra(tmp_path, kinds=SMALL)) == 6
    shards = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("aligned*.parquet")}
    assert shards == {"raw/shards/aligned_chunk_0.parquet", "raw/shards/aligned_chunk_1.parquet"}
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("README", "no shards")
    for name in shards:
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match="holds no .parquet"):
        MultimodalSpectra(tmp_path, kinds=["ir"])


def test_download(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as target:
        target.write(shard(tmp_path / "source.parquet", rows()), "data/aligned_chunk_0.parquet")
    monkeypatch.setattr(multimodal, "_URL", (tmp_path / "source.zip").as_uri())
    assert len(MultimodalSpectra(tmp_path / "data", kinds=SMALL)) == 3


@pytest.mark.parametrize("value", [None, []])
def test_missing_spectra_are_nan(tmp_path, value):
    columns = replaced("ir_spectra", 1, value)
    columns["msms_cfmid_positive_20ev"][2] = value
    shard(tmp_path / "raw" / "a.parquet", columns)
    dataset = MultimodalSpectra(tmp_path, kinds=SMALL)
    assert [bool(data.ir.isnan().all()) for data in dataset] == [False, True, False]
    assert [bool(data.msms_positive_20ev.isnan().all()) for data in dataset] == [False, False, True]
    for data in dataset:
        validate(data, kinds=SMALL)


@pytest.mark.parametrize(
    ("columns", "record", "match"),
    [
        (replaced("ir_spectra", 1, np.ones(1799, dtype=np.float32)), "1 (C=O)", "must have 1800 values; got shape"),
        (
            replaced("ir_spectra", 2, np.full(1800, np.nan, np.float32)),
            "2 (CC#N)",
            "ir_spectra must be finite; value 0",
        ),
        (replaced("msms_cfmid_positive_20ev", 0, [[15.0]]), "0 (CO)", "peaks must have shape"),
        (replaced("msms_cfmid_positive_20ev", 0, [[15.0, -1.0]]), "0 (CO)", "peaks must be finite and not negative"),
        (replaced("msms_cfmid_positive_20ev", 0, [[np.nan, 1.0]]), "0 (CO)", "peaks must be finite"),
        (replaced("msms_cfmid_positive_20ev", 0, [[1000.6, 1.0]]), "0 (CO)", "got one at 1000.6. Pass a longer axis"),
        (replaced("smiles", 1, "C(C"), "1 (C(C)", "smiles"),
        (replaced("smiles", 1, None), "1 (None)", "it has no SMILES"),
    ],
)
def test_broken_rows(tmp_path, columns, record, match):
    shard(tmp_path / "raw" / "a.parquet", columns)
    with pytest.raises(ValueError, match=match) as caught:
        MultimodalSpectra(tmp_path, kinds=SMALL)
    assert f"a.parquet, record {record}" in str(caught.value)
    with pytest.warns(UserWarning, match="skipped 1 broken record"):
        dataset = MultimodalSpectra(tmp_path, kinds=SMALL, skip_broken=True)
    assert len(dataset) == 2
    assert dataset.skipped[0].file == "a.parquet"
    assert dataset.skipped[0].record == record


def test_damaged_shards(tmp_path):
    path = shard(tmp_path / "raw" / "a.parquet", rows())
    complete = path.read_bytes()
    for content in (b"", b"text", complete[: len(complete) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="a.parquet cannot be read after row 0.*Fetch the shard again"):
            MultimodalSpectra(tmp_path, kinds=SMALL)
    columns = rows()
    del columns["ir_spectra"]
    shard(path, columns)
    with pytest.raises(
        ValueError, match=r"a.parquet is no shard of the data set: it lacks the columns \['ir_spectra'\]"
    ):
        MultimodalSpectra(tmp_path, kinds=SMALL)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"kinds": ["ir", "raman"]}, r"kinds must be some of \['ir', .*each once; got \['ir', 'raman'\]"),
        ({"kinds": ["ir", "ir"]}, "each once"),
        ({"kinds": []}, "kinds must be some of"),
        ({"mass_axis": SpectrumAxis("ir", 0, 10, 1, "cm^-1")}, "mass_axis must be in m/z; got 'cm"),
    ],
)
def test_refused_arguments(tmp_path, arguments, match):
    with pytest.raises(ValueError, match=match):
        MultimodalSpectra(tmp_path, **arguments)


def test_without_pyarrow(tmp_path, monkeypatch):
    shard(tmp_path / "raw" / "a.parquet", rows())
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"needs pyarrow; install it with `pip install molspectra\[datasets\]`"):
        MultimodalSpectra(tmp_path, kinds=SMALL)


def test_bins_are_a_loop(tmp_path):
    axis = SpectrumAxis("ms", 50, 60, 0.25, "m/z")
    peaks = np.random.default_rng(1).uniform((49.9, 0), (60.1, 100), size=(200, 2))
    expected = np.zeros(axis.length)
    for position, intensity in peaks:
        expected[np.abs(axis.grid.numpy() - position).argmin()] += intensity
    binned = bin_peaks(peaks, axis)
    np.testing.assert_allclose(binned[0].numpy(), expected, rtol=1e-6)
    assert float(binned.sum()) == pytest.approx(peaks[:, 1].sum())


@pytest.fixture
def published(sample_files, tmp_path):
    """A few true rows."""
    path = sample_files / "alberts2024" / "example_data_1.parquet"
    (tmp_path / "raw").mkdir()
    shutil.copy(path, tmp_path / "raw")
    return pq.read_table(path).to_pylist()


def test_published_rows(published, tmp_path):
    dataset = MultimodalSpectra(tmp_path, kinds=("ir", "h_nmr", "c_nmr", "msms_positive_20ev"))
    assert [data.smiles for data in dataset] == [row["smiles"] for row in published]
    for data, row in zip(dataset, published, strict=True):
        validate(data, kinds=tuple(dataset.axes))
        np.testing.assert_array_equal(data.ir[0].numpy(), np.array(row["ir_spectra"], dtype=np.float32))
        peaks = row[MSMS[1]]
        assert float(data.msms_positive_20ev.sum()) == pytest.approx(sum(peak[1] for peak in peaks), rel=1e-5)
        assert data.msms_positive_20ev[0, round(peaks[0][0])] > 0
    # Their C-H and O-H stretches lie between 2800 and 3700 cm^-1, and next to nothing above.
    grid = dataset.axes["ir"].grid
    mean = torch.cat([data.ir for data in dataset]).abs().mean(dim=0)
    assert mean[(grid > 2800) & (grid < 3700)].mean() > 3 * mean[grid > 3900].mean()


@pytest.mark.parametrize(("kind", "shift", "width"), [("h_nmr", "centroid", 0.03), ("c_nmr", "delta (ppm)", 0.3)])
def test_published_tables_of_peaks_say_where_maxima_are(published, tmp_path, kind, shift, width):
    dataset = MultimodalSpectra(tmp_path, kinds=[kind])
    grid = dataset.axes[kind].grid
    found = {"as it is": [], "the wrong way round": []}
    for data, row in zip(dataset, published, strict=True):
        for name, spectrum in (("as it is", data[kind][0]), ("the wrong way round", data[kind][0].flip(0))):
            for peak in row[f"{kind}_peaks"]:
                near = spectrum[(grid - peak[shift]).abs() < width]
                found[name].append(len(near) > 0 and float(near.max()) > 0.05 * float(spectrum.max()))
    # Not all: the table of a few 13C spectra is not that of the spectrum.
    assert np.mean(found["as it is"]) > 0.7
    assert np.mean(found["the wrong way round"]) < 0.25


def with_tables() -> dict[str, list]:
    """Columns of a shard with the published tables of NMR peaks, of methanol, formaldehyde and acetonitrile."""
    h_nmr = [
        [
            {
                "category": "s",
                "delta": 3.3,
                "centroid": 3.31,
                "nH": 3,
                "j_values": None,
                "rangeMax": 3.4,
                "rangeMin": 3.2,
            },
            {
                "category": "ddddd",
                "delta": 1.5,
                "centroid": 1.5,
                "nH": 1,
                "j_values": "1_2_",
                "rangeMax": 2.0,
                "rangeMin": 1.0,
            },
        ],
        [
            {
                "category": "t",
                "delta": 9.6,
                "centroid": 9.6,
                "nH": 2,
                "j_values": "7.1_",
                "rangeMax": 9.7,
                "rangeMin": 9.5,
            }
        ],
        [],
    ]
    carbon = {"delta (ppm)": 50.1, "integral": 0.5, "intensity": 0.02, "width (ppm)": 0.01}
    cross = {"13C_centroid": 50.1, "13C_max": 51.0, "13C_min": 49.0, "1H_centroid": 3.3, "1H_max": 3.4, "1H_min": 3.2}
    c_nmr = [[carbon], [{**carbon, "delta (ppm)": 197.0}], [carbon, {**carbon, "delta (ppm)": 1.9}]]
    hsqc = [[{**cross, "nH": 3.0}], None, [{**cross, "nH": 1.0}]]
    return rows() | {"h_nmr_peaks": h_nmr, "c_nmr_peaks": c_nmr, "hsqc_nmr_peaks": hsqc}


def test_tables_of_peaks(tmp_path):
    shard(tmp_path / "raw" / "a.parquet", with_tables())
    kinds = ["h_nmr_peaks", "c_nmr_peaks", "hsqc_peaks", "msms_positive_20ev_peaks", "msms_positive_20ev"]
    dataset = MultimodalSpectra(tmp_path, kinds=kinds)
    assert set(dataset.axes) == {"msms_positive_20ev"}
    assert set(dataset.peak_axes) == set(kinds) - {"msms_positive_20ev"}
    first, second, third = dataset
    multiplicities = dataset.peak_axes["h_nmr_peaks"].labels
    expected = torch.tensor([[[3.3, 3.0, multiplicities.index("s")], [1.5, 1.0, torch.nan]]], dtype=torch.float32)
    torch.testing.assert_close(first.h_nmr_peaks, expected, equal_nan=True)
    torch.testing.assert_close(
        second.h_nmr_peaks, torch.tensor([[[9.6, 2.0, multiplicities.index("t")]]], dtype=torch.float32)
    )
    torch.testing.assert_close(third.c_nmr_peaks, torch.tensor([[[50.1, 0.02], [1.9, 0.02]]], dtype=torch.float32))
    torch.testing.assert_close(third.hsqc_peaks, torch.tensor([[[50.1, 3.3, 1.0]]], dtype=torch.float32))
    torch.testing.assert_close(
        first.msms_positive_20ev_peaks, torch.tensor([[[15.02, 30.0], [31.018, 100.0]]], dtype=torch.float32)
    )
    for missing in (third.h_nmr_peaks, second.hsqc_peaks):
        assert missing.shape == (1, 1, 3)
        assert missing.isnan().all()
    batch = Collate()(dataset.__getitems__([0, 1, 2]))
    assert batch.c_nmr_peaks.shape == (3, 2, 2)
    specformer = SpecFormer(dict(dataset.peak_axes), hidden_channels=16, num_heads=2, num_layers=1)
    assert specformer(batch).embedding.isfinite().all()
    assert specformer.prepare(batch).scaled["precursor_mz_positive"].shape == (3, 1)


def test_precursors_are_the_protonated_molecules(published, tmp_path):
    """Fragments are no heavier than the precursor, which itself is often among them."""
    above = [
        float(data.msms_positive_20ev_peaks[0, :, 0].max() - data.precursor_mz_positive)
        for data in MultimodalSpectra(tmp_path, kinds=["msms_positive_20ev_peaks"])
    ]
    assert max(above) < 0.001
    assert min(map(abs, above)) < 0.001


@pytest.mark.parametrize(
    ("kind", "column", "change", "match"),
    [
        (
            "h_nmr_peaks",
            "h_nmr_peaks",
            {"delta": None},
            r"record 1 \(C=O\): h_nmr_peaks must have the numbers \['delta', 'nH'\]",
        ),
        ("h_nmr_peaks", "h_nmr_peaks", {"delta": 55.0}, "h_nmr_peaks must have peaks at -2 to 14; got one at 55"),
        ("h_nmr_peaks", "h_nmr_peaks", {"nH": -1}, "must have finite peaks, and intensities of 0 or more"),
        ("c_nmr_peaks", "c_nmr_peaks", {"delta (ppm)": float("nan")}, "must have finite peaks"),
    ],
)
def test_broken_tables_of_peaks(tmp_path, kind, column, change, match):
    columns = with_tables()
    columns[column][1] = [{**columns[column][1][0], **change}]
    shard(tmp_path / "raw" / "a.parquet", columns)
    with pytest.raises(ValueError, match=match):
        MultimodalSpectra(tmp_path, kinds=[kind])
