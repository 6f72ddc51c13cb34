"""Folders of measured spectra: tables and labels that tell the molecule, files of each format, and what is broken."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch

from molspectra.data import Collate, MeasuredSpectra, PeakAxis, SpectrumAxis, from_smiles, read_spectrum_table

AXIS = SpectrumAxis("ir", 1000, 1008, 2, "cm^-1")
MASS = PeakAxis("msms", "m/z", (0, 100))
CURVE = "wavenumber (cm-1),Absorbance\n" + "".join(f"{1000 + 2 * n},{0.1 * n + 0.1:g}\n" for n in range(5))
ROW = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5]], dtype=torch.float32)


def jcamp(**labels) -> str:
    stated = {"DATA TYPE": "INFRARED SPECTRUM", **labels}
    header = "".join(f"##{label}={text}\n" for label, text in stated.items())
    return (
        f"##TITLE=a sample\n##JCAMP-DX=4.24\n{header}##XUNITS=1/CM\n##YUNITS=ABSORBANCE\n##FIRSTX=1000\n##LASTX=1008\n"
        "##NPOINTS=5\n##XFACTOR=1\n##YFACTOR=0.1\n##XYDATA=(X++(Y..Y))\n1000 1 2 3 4 5\n##END=\n"
    )


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "ethanol.csv").write_text(CURVE)
    (tmp_path / "water.jdx").write_text(jcamp(**{"$SMILES": "O"}))
    (tmp_path / "ethanol.msp").write_text("Name: e\nNum Peaks: 2\n31.02 100\n45.03 50\n")
    return tmp_path


def test_a_column_of_files_for_each_kind(folder):
    (folder / "spectra.csv").write_text("name,smiles,ir,msms\n,CCO,curves/ethanol.csv,ethanol.msp\nrain,O,water.jdx,\n")
    dataset = MeasuredSpectra(folder, {"ir": AXIS, "msms": MASS}, seed=2)
    ethanol, water = dataset
    torch.testing.assert_close(ethanol.ir, ROW)
    torch.testing.assert_close(water.ir, ROW)
    torch.testing.assert_close(ethanol.msms, torch.tensor([[[31.02, 100.0], [45.03, 50.0]]], dtype=torch.float32))
    assert water.msms.isnan().all()
    assert torch.equal(ethanol.pos, from_smiles("CCO", seed=2).pos)
    assert (ethanol.name, water.name, water.smiles) == ("ethanol", "rain", "O")
    batch = Collate()(dataset.__getitems__([0, 1]))
    assert batch.msms.shape == (2, 2, 2)
    # Another choice of axes is another store.
    assert "msms" not in MeasuredSpectra(folder, {"ir": AXIS}, conformers=False)[0]
    assert MeasuredSpectra(folder, {"ir": AXIS, "msms": MASS}, seed=2)[0].name == "ethanol"


def test_a_row_for_each_file(folder):
    (folder / "spectra.tsv").write_text("file\tsmiles\tkind\nethanol.msp\tCCO\tmsms\ncurves/ethanol.csv\tCCO\tir\n")
    first, second = MeasuredSpectra(folder, {"ir": AXIS, "msms": MASS}, conformers=False)
    assert first.ir.isnan().all()
    assert second.msms.isnan().all()
    torch.testing.assert_close(second.ir, ROW)
    assert "pos" not in first


@pytest.mark.parametrize(
    ("labels", "smiles"),
    [
        ({"SMILES": "CO"}, "CO"),
        ({"$INCHI": "InChI=1S/CH4O/c1-2/h2H,1H3"}, "CO"),
        ({"INCHI": "1S/CH4O/c1-2/h2H,1H3"}, "CO"),
    ],
)
def test_files_that_state_their_structure(tmp_path, labels, smiles):
    (tmp_path / "a.jdx").write_text(jcamp(**labels))
    (tmp_path / "b.DX").write_text(jcamp(**labels, **{"DATA TYPE": "RAMAN SPECTRUM"}))
    raman = SpectrumAxis("raman", 1000, 1008, 2, "cm^-1")
    first, second = MeasuredSpectra(tmp_path, {"ir": AXIS, "raman": raman}, conformers=False)
    assert first.smiles == second.smiles == smiles
    torch.testing.assert_close(first.ir, ROW)
    assert first.raman.isnan().all()
    assert second.ir.isnan().all()
    assert first.name == "a sample"


def test_structures_by_cas_number(tmp_path):
    (tmp_path / "a.jdx").write_text(jcamp(**{"CAS REGISTRY NO": "67-56-1"}))
    (tmp_path / "b.jdx").write_text(jcamp(**{"CAS REGISTRY NO": "64-17-5"}))
    (tmp_path / "spectra.csv").write_text("cas,smiles\n67-56-1,CO\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = MeasuredSpectra(tmp_path, {"ir": AXIS}, conformers=False, skip_broken=True)
    assert [data.smiles for data in dataset] == ["CO"]
    assert "its CAS number '64-17-5' must be in a table" in dataset.skipped[0].reason


def test_published_measured_files(tmp_path):
    """Measured IR of ethanol in the JCAMP-DX of an instrument, if the samples are at hand."""
    samples = Path(__file__).parents[2] / "fixtures" / "files"
    found = sorted(samples.glob("*.jdx"))
    for file in found:
        shutil.copy(file, tmp_path)
    (tmp_path / "c.csv").write_text(CURVE)
    (tmp_path / "spectra.csv").write_text("smiles,file\nCCO,c.csv\n")
    data = MeasuredSpectra(tmp_path, {"ir": AXIS}, conformers=False)[0]
    torch.testing.assert_close(data.ir, read_spectrum_table(tmp_path / "c.csv", AXIS))


def test_options_of_readers(folder):
    (folder / "t.csv").write_text("1000,0\n1002,50\n1004,50\n1006,50\n1008,50\n")
    (folder / "spectra.csv").write_text("smiles,ir\nO,t.csv\n")
    options = {"ir": {"y_unit": "percent_transmittance", "min_transmittance": 0.01}}
    data = MeasuredSpectra(folder, {"ir": AXIS}, options=options, conformers=False)[0]
    torch.testing.assert_close(data.ir, torch.tensor([[2.0, 0.30103, 0.30103, 0.30103, 0.30103]], dtype=torch.float32))


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("smiles,ir\nCCO,none.csv\n", r"line 2 \(CCO\): .*none.csv"),
        ("smiles,ir\n,curves/ethanol.csv\n", "it has no SMILES"),
        ("smiles,ir\nCC(O,curves/ethanol.csv\n", "smiles must be a valid SMILES"),
        ("smiles,ir\nCCO,\n", "it names no file"),
        ("smiles,ir\nCCO\n", "another number of cells"),
        ("smiles,ir\nCCO,ethanol.msp\n", "ethanol.msp"),
        ("smiles,file,kind\nCCO,curves/ethanol.csv,uv\n", "kind must be \"ir\"; got 'uv'"),
        ("smiles,path\nCCO,curves/ethanol.csv\n", "must have a column for each kind"),
        ("file,ir\na,b\n", "must have a column smiles"),
    ],
)
def test_broken_tables(folder, table, match):
    (folder / "spectra.csv").write_text(table)
    with pytest.raises(ValueError, match=match):
        MeasuredSpectra(folder, {"ir": AXIS})


def test_skipped_spectra_are_counted(folder):
    (folder / "spectra.csv").write_text("smiles,ir\nCCO,curves/ethanol.csv\nO,none.jdx\nC,ethanol.msp\n")
    with pytest.warns(UserWarning, match="skipped 2 broken records"):
        dataset = MeasuredSpectra(folder, {"ir": AXIS}, conformers=False, skip_broken=True)
    assert len(dataset) == 1
    assert [each.record for each in dataset.skipped] == ["line 3 (O)", "line 4 (C)"]


@pytest.mark.parametrize(
    ("axes", "error", "match"),
    [
        ({}, TypeError, "axes must map kinds to axes"),
        ({"ir": 5}, TypeError, "SpectrumAxis"),  # by the checks of types that tests run with
        ({"hsqc": PeakAxis("hsqc", "ppm", [(0, 200), (0, 10)])}, TypeError, "PeakAxis of one position"),
        ({"pos": AXIS}, ValueError, "Kinds must be free names"),
    ],
)
def test_refused_axes(folder, axes, error, match):
    with pytest.raises(error, match=match):
        MeasuredSpectra(folder, axes)


def test_peaks_beyond_the_range(folder):
    (folder / "spectra.csv").write_text("smiles,msms\nCCO,ethanol.msp\n")
    short = {"msms": PeakAxis("msms", "m/z", (0, 40))}
    with pytest.raises(ValueError, match="must have its peaks at 0 to 40 m/z.*got one at 45.03"):
        MeasuredSpectra(folder, short, conformers=False)
    data = MeasuredSpectra(folder, short, options={"msms": {"outside": "cut"}}, conformers=False)[0]
    assert data.msms.shape == (1, 1, 2)


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"MeasuredSpectra needs .*spectra.csv"):
        MeasuredSpectra(tmp_path, {"ir": AXIS})
