"""Files of many mass spectra: the same records in each format, and records that must be left out with their reason."""

import gzip
import sys
import warnings

import pytest
import torch
from torch.utils.data import DataLoader

import molspectra as ms
from molspectra.data import Collate, read_spectra
from molspectra.data.io.collision_energy import parse_collision_energy
from tests.data.io.mzml_files import mzml, spectrum

ETHANOL = [(29.04, 30.0), (31.02, 100.0), (46.04, 12.5)]
WATER = [(18.01, 1e5)]
TEXTS = {"name", "identifier", "smiles", "inchikey", "formula", "adduct", "ion_mode", "instrument"}
NUMBERS = {"precursor_mz", "precursor_charge", "collision_energy", "normalized_collision_energy"}


def lines(peaks, separator=" ") -> str:
    return "".join(f"{x}{separator}{y}\n" for x, y in peaks)


MSP = (
    "NAME: ethanol\nDB#: X1\nSMILES: CCO\nINCHIKEY: LFQSCWFLJHTTHZ-UHFFFAOYSA-N\nFORMULA: C2H6O\nPRECURSORMZ: 47.0491\n"
    f"PRECURSORTYPE: [M+H]+\nIONMODE: POSITIVE\nCOLLISIONENERGY: 20 eV\nINSTRUMENTTYPE: ESI-QTOF\nNum Peaks: 3\n"
    f'{lines(ETHANOL)}\nName: water\nComment: "SMILES=O" "ion mode=negative"\nNum Peaks: 1\n{lines(WATER)}'
)
MGF = (
    f"INSTRUMENT=ESI-QTOF\n\nBEGIN IONS\nTITLE=ethanol\nSPECTRUMID=X1\nSMILES=CCO\n"
    "INCHIKEY=LFQSCWFLJHTTHZ-UHFFFAOYSA-N\nFORMULA=C2H6O\nPEPMASS=47.0491 1e6\nCHARGE=1+\nADDUCT=[M+H]+\n"
    "IONMODE=Positive\nCOLLISION_ENERGY=20.0\n"
    f"{lines(ETHANOL, chr(9))}END IONS\n\nBEGIN IONS\nTITLE=water\nINSTRUMENT=N/A\nSMILES=O\nIONMODE=negative\n"
    f"PEPMASS=0.0\nCHARGE=0\n{lines(WATER)}END IONS\n"
)
MASSBANK = (
    "ACCESSION: X1\nRECORD_TITLE: ethanol; LC-ESI\nCH$NAME: ethanol\nCH$NAME: spirit\nCH$FORMULA: C2H6O\n"
    "CH$SMILES: CCO\n"
    "CH$LINK: INCHIKEY LFQSCWFLJHTTHZ-UHFFFAOYSA-N\nAC$INSTRUMENT: 6550\nAC$INSTRUMENT_TYPE: ESI-QTOF\n"
    "AC$MASS_SPECTROMETRY: ION_MODE POSITIVE\nAC$MASS_SPECTROMETRY: COLLISION_ENERGY 20 eV\n"
    "MS$FOCUSED_ION: PRECURSOR_M/Z 47.0491\nMS$FOCUSED_ION: PRECURSOR_TYPE [M+H]+\nPK$ANNOTATION: m/z formula\n"
    "  29.04 C2H5+\nPK$NUM_PEAK: 3\nPK$PEAK: m/z int. rel.int.\n"
    + "".join(f"  {x} {y} {int(9.99 * y)}\n" for x, y in ETHANOL)
    + "//\nACCESSION: X2\nCH$NAME: water\nCH$SMILES: O\nAC$MASS_SPECTROMETRY: ION_MODE NEGATIVE\nPK$NUM_PEAK: 1\n"
    "PK$PEAK: m/z int. rel.int.\n  18.01 1e5 999\n//\n"
)
FORMATS = {"msp": MSP, "mgf": MGF, "txt": MASSBANK}


def write(tmp_path, text: str, name: str):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def read_all(path, **keywords):
    """Molecules, and the reasons of those left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        reader = read_spectra(path, **keywords)
        molecules = list(reader)
    assert reader.num_read == len(molecules)
    return molecules, reader.skipped


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("compressed", [False, True])
def test_each_format(tmp_path, form, compressed):
    path = write(tmp_path, FORMATS[form], f"two.{form}")
    if compressed:
        (tmp_path / f"two.{form}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / f"two.{form}.gz"
    (ethanol, water), skipped = read_all(path)
    assert skipped == ()
    torch.testing.assert_close(ethanol.msms, torch.tensor([ETHANOL], dtype=torch.float32))
    torch.testing.assert_close(water.msms, torch.tensor([WATER], dtype=torch.float32))
    assert set(ethanol.keys()) == set(water.keys()) == TEXTS | NUMBERS | {"msms", "collision_energy_text"}
    assert (ethanol.name, ethanol.identifier, ethanol.smiles, ethanol.formula) == ("ethanol", "X1", "CCO", "C2H6O")
    assert ethanol.inchikey == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert (ethanol.adduct, ethanol.ion_mode, ethanol.instrument) == ("[M+H]+", "positive", "ESI-QTOF")
    numbers = {name: float(ethanol[name]) for name in sorted(NUMBERS)}
    assert numbers == pytest.approx(
        {
            "collision_energy": 20,
            "normalized_collision_energy": float("nan"),
            "precursor_charge": 1,
            "precursor_mz": 47.0491,
        },
        nan_ok=True,
    )
    assert (water.smiles, water.ion_mode, water.formula, water.inchikey) == ("O", "negative", "", "")
    assert all(bool(water[name].isnan()) for name in NUMBERS)


def test_batches_of_spectra(tmp_path):
    molecules = list(read_spectra(write(tmp_path, MSP, "two.msp"), conformers=True, field="ms2"))
    batch = next(iter(DataLoader(molecules, batch_size=2, collate_fn=Collate())))
    assert batch.ms2.shape == (2, 3, 2)
    assert batch.ms2[1, 1:].isnan().all()
    assert batch.smiles == ["CCO", "O"]
    assert batch.z.tolist()[:3] == [6, 6, 8]
    ms.data.validate(batch, kinds=())


def test_mzml(tmp_path):
    path = write(
        tmp_path,
        mzml(
            spectrum(1, ETHANOL, energy=25.0),
            spectrum(2, WATER, level=1, positive=False, compressed=False),
            spectrum(3, ETHANOL, stated=4),
            spectrum(4, ETHANOL, profile=True),
        ),
        "run.mzML",
    )
    (ethanol, water), skipped = read_all(path)
    torch.testing.assert_close(ethanol.msms, torch.tensor([ETHANOL], dtype=torch.float32))
    torch.testing.assert_close(water.msms, torch.tensor([WATER], dtype=torch.float32))
    assert (ethanol.identifier, ethanol.ion_mode, water.ion_mode) == ("scan=1", "positive", "negative")
    assert (float(ethanol.precursor_mz), float(ethanol.collision_energy)) == (47.05, 25.0)
    assert bool(water.precursor_mz.isnan())
    assert [(each.record, each.reason[:28]) for each in skipped] == [
        ("scan=3", "it must have 4 points, as it"),
        ("scan=4", "it is a profile, no list of "),
    ]
    assert [data.identifier for data in read_all(path, ms_level=1)[0]] == ["scan=2"]
    with pytest.raises(ValueError, match="is damaged, truncated or no mzML"):
        read_all(write(tmp_path, path.read_text()[:-200], "cut.mzML"))
    with pytest.raises(ValueError, match="is damaged, truncated or no mzML"):
        read_all(write(tmp_path, "NAME: x", "text.mzml"))


FAULTS = {
    "msp": [
        ("Num Peaks: 3", "Num Peaks: 4", "it must have 4 peaks, as it says itself; found 3"),
        ("Num Peaks: 3", "Num Peaks: three", "it must have three peaks, as it says itself; found 3"),
        ("31.02 100.0", "31.02", "line 13: expected a position and an intensity; got '31.02'"),
        ("31.02 100.0", "31,02 100,0", "line 13: numbers must have decimal points"),
        ("31.02 100.0", "31.02 -100.0", "positive m/z and an intensity of 0 or more; got 31.02 and -100"),
        ("31.02 100.0", "0.0 100.0", "positive m/z and an intensity of 0 or more; got 0 and 100"),
        ("31.02 100.0", "31.02 nan", "line 13: expected a position and an intensity; got '31.02 nan'"),
        ("31.02 100.0", "31.02 1e300", "within the range of float32"),
        ("PRECURSORMZ: 47.0491", "PRECURSORMZ: 47,0491", "the m/z of the precursor must be a number; got '47,0491'"),
        ("PRECURSORMZ: 47.0491", "PRECURSORMZ: -1", "the m/z of the precursor must be positive"),
        (f"Num Peaks: 3\n{lines(ETHANOL)}", "", "it has no peaks"),
    ],
    "mgf": [
        ("31.02\t100.0", "31.02\t", "expected a position and an intensity"),
        ("CHARGE=1+", "CHARGE=+1+", "the charge must be a whole number"),
        ("46.04\t12.5\nEND IONS", "46.04\t12.5", "it must end with END IONS; line 18 begins another one"),
        ("31.02\t100.0", "COMMENT=late", "expected a position and an intensity"),
    ],
    "txt": [
        ("NUM_PEAK: 3", "NUM_PEAK: 2", "it must have 2 peaks, as it says itself; found 3"),
        ("  31.02 100.0 999\n", "  31.02 100.0 9 9 9\n", "line 19: expected a position"),
    ],
}


@pytest.mark.parametrize(
    ("form", "old", "new", "reason"), [(form, *fault) for form, faults in FAULTS.items() for fault in faults]
)
def test_a_broken_record_costs_only_itself(tmp_path, form, old, new, reason):
    assert old in FORMATS[form]
    path = write(tmp_path, FORMATS[form].replace(old, new, 1), f"two.{form}")
    reader = read_spectra(path)
    with pytest.warns(UserWarning, match="left out 1 of 2 spectra, listed in `skipped`; the first is record"):
        names = [data.name for data in reader]
    assert names == ["water"]
    assert reason in reader.skipped[0].reason
    assert reader.skipped[0].file == path.name
    assert "1 read, 1 left out" in repr(reader)
    with pytest.raises(ValueError, match=r"two\.\w+, record \d, line \d+: .*skip_broken=True"):
        list(read_spectra(path, skip_broken=False))


def test_lines_that_belong_to_no_record(tmp_path):
    gap = MSP.replace("46.04 12.5", "\n46.04 12.5").replace("Num Peaks: 3", "Num Peaks: 2")
    stray = MGF.replace("BEGIN IONS\nTITLE=w", "lost\nBEGIN IONS\nTITLE=w")
    headless = MASSBANK.replace("ACCESSION: X2\n", "") + MASSBANK
    for form, text, reason in (
        ("msp", gap, "must be a field, such"),
        ("mgf", stray, "a line between spectra must be a field"),
        ("txt", headless, "it must begin with ACCESSION; line 22 is 'CH$NAME"),
    ):
        molecules, skipped = read_all(write(tmp_path, text, f"lost.{form}"))
        assert len(molecules) == {"msp": 2, "mgf": 2, "txt": 3}[form]
        assert len(skipped) == 1
        assert reason in skipped[0].reason


def test_files_that_end_early(tmp_path):
    for form, text in (("mgf", MGF.rpartition("END IONS")[0]), ("txt", MASSBANK.rpartition("//")[0])):
        molecules, skipped = read_all(write(tmp_path, text, f"cut.{form}"))
        assert [data.name for data in molecules] == ["ethanol"]
        assert "the file ends within it" in skipped[0].reason
    whole = gzip.compress(MSP.encode())
    (tmp_path / "cut.msp.gz").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match="cut.msp.gz is damaged or truncated"):
        read_all(tmp_path / "cut.msp.gz")


def test_conformers_that_cannot_be_made_are_left_out(tmp_path):
    text = MSP.replace("SMILES: CCO", "SMILES: CC(O").replace('"SMILES=O" ', "")
    molecules, skipped = read_all(write(tmp_path, text, "two.msp"), conformers=True)
    assert molecules == []
    assert [each.reason[:30] for each in skipped] == [
        "smiles must be a valid SMILES ",
        "it has no SMILES to make a con",
    ]


def test_refused_arguments(tmp_path, monkeypatch):
    path = write(tmp_path, MSP, "two.msp")
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_spectra(tmp_path / "none.msp")
    with pytest.raises(ValueError, match="field must be a name"):
        read_spectra(path, field="ms/ms")
    with pytest.raises(ValueError, match="ms_level is for mzML"):
        list(read_spectra(path, ms_level=2))
    with pytest.raises(ValueError, match="must be MGF, MSP, MassBank or mzML; .*read_peak_list"):
        list(read_spectra(write(tmp_path, "m/z,intensity\n15,3\n", "peaks.csv")))
    with pytest.raises(ValueError, match="zero bytes"):
        list(read_spectra(write(tmp_path, MSP + "\0", "two.msp")))
    monkeypatch.setitem(sys.modules, "pymzml.run", None)
    with pytest.raises(ImportError, match=r"pip install molspectra\[ms\]"):
        list(read_spectra(write(tmp_path, mzml(spectrum(1, WATER)), "run.mzML")))


@pytest.mark.parametrize(
    ("text", "energy", "normalized"),
    [
        ("20", 20, None),
        ("20.5 eV", 20.5, None),
        ("40V", 40, None),
        ("35 % (nominal)", None, 35),
        ("35(NCE)", None, 35),
        ("HCD 35%", None, 35),
        ("NCE=35% 20eV", 20, 35),
        ("HCD 35", None, None),
        ("35 (nominal)", None, None),
        ("15, 30, 45 eV", None, None),
        ("Ramp 20-40 eV", None, None),
        ("2 keV", None, None),
        ("-20 eV", None, None),
        ("low", None, None),
        ("", None, None),
    ],
)
def test_collision_energies(text, energy, normalized):
    nan = float("nan")
    expected = (nan if energy is None else energy, nan if normalized is None else normalized)
    assert parse_collision_energy(text) == pytest.approx(expected, nan_ok=True)
