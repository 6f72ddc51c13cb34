"""Bruker directories, written here as TopSpin does: values against lines at known shifts, and damaged directories."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from molspectra.data import SpectrumAxis, read_bruker

CARBON = SpectrumAxis("c_nmr", 0, 200, 0.25, "ppm")
POINTS = 4096


def procs(**changes) -> str:
    stated = {
        "SI": POINTS,
        "XDIM": POINTS,
        "SF": 100.6127,
        "SW_p": 24000.0,
        "OFFSET": 219.0,
        "NC_proc": -3,
        "BYTORDP": 0,
        "DTYPP": 0,
    }
    stated |= {"AXNUC": "<13C>", **changes}
    lines = [f"##${key}= {value}\n" for key, value in stated.items() if value is not None]
    header = "##TITLE= Parameter file, TopSpin 4.1.3\n##JCAMPDX= 5.0\n##DATATYPE= Parameter Values\n"
    return f"{header}{''.join(lines)}##END=\n"


def lines_at(shifts, offset=219.0, width=24000.0, frequency=100.6127, points=POINTS) -> np.ndarray:
    ppm = offset - np.arange(points) * width / frequency / points
    return sum(1e6 / (1 + ((ppm - shift) / 0.5) ** 2) for shift in shifts)


@pytest.fixture
def experiment(tmp_path) -> Path:
    """A 13C spectrum with lines at 18.3 and 58.0 ppm."""
    folder = tmp_path / "10" / "pdata" / "1"
    folder.mkdir(parents=True)
    (tmp_path / "10" / "acqus").write_text("##TITLE= a\n##$NUC1= <13C>\n##END=\n")
    (tmp_path / "10" / "fid").write_bytes(b"\0" * 64)
    (folder / "procs").write_text(procs())
    (folder / "1r").write_bytes(np.rint(8 * lines_at([18.3, 58.0])).astype("<i4").tobytes())
    return tmp_path / "10"


def test_lines_lie_at_their_shifts(experiment):
    spectrum = read_bruker(experiment, CARBON)[0].numpy()
    expected = sum(1e6 / (1 + ((CARBON.grid.numpy() - shift) / 0.5) ** 2) for shift in (18.3, 58.0))
    np.testing.assert_allclose(spectrum, expected, rtol=5e-3, atol=50)  # linear between points
    for path in (experiment / "pdata" / "1", experiment / "pdata" / "1" / "1r"):
        np.testing.assert_array_equal(read_bruker(path, CARBON)[0].numpy(), spectrum)
    wide = SpectrumAxis("c_nmr", -50, 250, 0.25, "ppm")
    assert read_bruker(experiment, wide)[0, 0].isnan()
    assert read_bruker(experiment, wide, outside="zero")[0, 0] == 0


def test_nmrglue_reads_the_same(experiment):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy's names of types
        nmrglue = pytest.importorskip("nmrglue")
        dic, data = nmrglue.bruker.read_pdata(str(experiment / "pdata" / "1"))
    stated = dic["procs"]
    carrier = stated["OFFSET"] * stated["SF"] - stated["SW_p"] / 2
    converter = nmrglue.fileiobase.unit_conversion(POINTS, False, stated["SW_p"], stated["SF"], carrier)
    ppm = converter.ppm_scale()
    axis = SpectrumAxis("c_nmr", 10, 70, 0.5, "ppm")
    expected = np.interp(axis.grid.numpy(), np.sort(ppm), data[np.argsort(ppm)])
    np.testing.assert_allclose(read_bruker(experiment, axis)[0].numpy(), expected, rtol=1e-2, atol=500)


@pytest.mark.parametrize(("dtype", "stated"), [(">i4", {"BYTORDP": 1}), ("<f8", {"DTYPP": 2, "NC_proc": 0})])
def test_types_of_points(experiment, dtype, stated):
    folder = experiment / "pdata" / "1"
    expected = read_bruker(experiment, CARBON)
    scale = 1 if "DTYPP" in stated else 8
    (folder / "1r").write_bytes((scale * lines_at([18.3, 58.0])).astype(dtype).tobytes())
    (folder / "procs").write_text(procs(**stated))
    np.testing.assert_allclose(read_bruker(experiment, CARBON).numpy(), expected.numpy(), rtol=1e-4, atol=1)


def test_choice_of_the_processing(experiment):
    shutil.copytree(experiment / "pdata" / "1", experiment / "pdata" / "3")
    assert read_bruker(experiment, CARBON).isfinite().all()
    (experiment / "pdata" / "1" / "1r").write_bytes(np.zeros(POINTS, "<i4").tobytes())
    assert read_bruker(experiment, CARBON).max() == 0
    assert read_bruker(experiment, CARBON, processing=3).max() > 0
    with pytest.raises(ValueError, match=r"must have the processing 2; it has \[1, 3\]"):
        read_bruker(experiment, CARBON, processing=2)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"SI": 2048}, "must have 8192 bytes, 2048 points of 4, as procs says; it has 16384"),
        ({"SF": None}, "must have the number SF; got ''"),
        ({"OFFSET": "x"}, "must have the number OFFSET; got 'x'"),
        ({"SW_p": -1.0}, "must have positive SW_p and SF"),
        ({"DTYPP": 7}, "impossible parameters: DTYPP 7"),
        ({"AXNUC": "<1H>"}, "must be a spectrum of 13C for the axis 'c_nmr'; it is of 1H"),
        ({"OFFSET": -300.0}, "must overlap with the axis 'c_nmr'"),
    ],
)
def test_damaged_parameters(experiment, changes, match):
    (experiment / "pdata" / "1" / "procs").write_text(procs(**changes))
    with pytest.raises(ValueError, match=match):
        read_bruker(experiment, CARBON)


def test_missing_files(experiment, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file or directory"):
        read_bruker(tmp_path / "11", CARBON)
    with pytest.raises(ValueError, match="axis must be in ppm"):
        read_bruker(experiment, SpectrumAxis("ir", 0, 9, 1, "cm^-1"))
    (experiment / "pdata" / "1" / "procs").unlink()
    with pytest.raises(ValueError, match="procs is missing"):
        read_bruker(experiment, CARBON)
    (experiment / "pdata" / "1" / "1r").unlink()
    with pytest.raises(ValueError, match="free induction decay and no processed spectrum .*autops"):
        read_bruker(experiment, CARBON)
    (experiment / "pdata" / "1" / "2rr").write_bytes(b"")
    with pytest.raises(ValueError, match="two-dimensional"):
        read_bruker(experiment, CARBON)
    with pytest.raises(ValueError, match="it has neither that nor a fid"):
        read_bruker(tmp_path, CARBON)


def test_damaged_directories_are_refused_or_read_right(experiment):
    """A lost or changed byte of the parameters gives an error, or another spectrum that they really state."""
    rng = np.random.default_rng(0)
    path, text = experiment / "pdata" / "1" / "procs", procs()
    whole = read_bruker(experiment, CARBON)
    refused = 0
    for _ in range(150):
        at = int(rng.integers(text.index("##$SI"), len(text)))
        path.write_text(text[:at] + text[at + 1 :])
        try:
            spectrum = read_bruker(experiment, CARBON)
        except ValueError as error:
            refused += 1
            assert str(experiment) in str(error)  # noqa: PT017
            continue
        assert spectrum.shape == whole.shape
    assert refused > 20
