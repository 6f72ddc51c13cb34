"""NMRShiftDB: records in its public layout, with shifts of ethanol and acetonitrile oxide, and damaged records."""

import warnings

import pytest
import torch

from molspectra.data import NMRShiftDB, validate
from molspectra.data.store import Collate


def drawing(title: str, atoms: list[str], bonds: list[tuple[int, int, int]], properties: dict[str, str]) -> str:
    block = f"{title}\n  CDK     0101250000\n\n{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000\n"
    block += "".join(
        f"{1.3 * n:10.4f}{0.7 * (n % 2):10.4f}{0.0:10.4f} {symbol:<3} 0  0  0  0  0  0  0  0  0  0  0  0\n"
        for n, symbol in enumerate(atoms)
    )
    block += "".join(f"{i:3d}{j:3d}{order:3d}  0  0  0  0\n" for i, j, order in bonds) + "M  END\n"
    return block + "".join(f"> <{name}>\n{value}\n\n" for name, value in properties.items()) + "$$$$\n"


ETHANOL = {
    "nmrshiftdb2 ID": "10008656",
    "INChI key": "LFQSCWFLJHTTHZ-UHFFFAOYSA-N",
    "Spectrum 13C 0": "18.1;0.0Q;1|57.8;0.0T;0|",
    "Spectrum 13C 1": "18.5;0.0Q;1|\n58.2;0.0T;0|",
    "Spectrum 1H 0": "1.22;0.0T;1|3.69;0.0Q;0|2.61;0.0S;2|",
    "Solvent": "0:Chloroform-D1 (CDCl3) 1:Unreported",
}
NITRILE = {"Spectrum 13C 0": "1.7;0.0Q;0|117.7;0.0S;1|", "Spectrum 15N 0": "-135.0;0.0;2|"}
FIRST = drawing("ethanol", ["C", "C", "O"], [(1, 2, 1), (1, 3, 1)], ETHANOL)
SECOND = drawing("acetonitrile", ["C", "C", "N"], [(1, 2, 1), (2, 3, 3)], NITRILE)


def write(tmp_path, text: str = FIRST + SECOND):
    (tmp_path / "raw").mkdir(exist_ok=True)
    (tmp_path / "raw" / "nmrshiftdb2withsignals.sd").write_text(text)
    return tmp_path


@pytest.mark.parametrize("conformers", [False, True])
def test_shifts_stand_at_their_atoms(tmp_path, conformers):
    ethanol, nitrile = dataset = NMRShiftDB(write(tmp_path), conformers=conformers)
    assert ethanol.z.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    carbons = {int(i): float(ethanol.shift_measured[i]) for i in (0, 1)}
    assert carbons == pytest.approx({0: 58.0, 1: 18.3})  # means of two solvents
    assert bool(ethanol.shift_measured[2].isnan())
    expected = {0: 3.69, 1: 1.22, 2: 2.61}
    i, j = ethanol.bond_index
    for heavy, hydrogen in zip(i.tolist(), j.tolist(), strict=True):
        if ethanol.z[hydrogen] == 1:
            assert float(ethanol.shift_measured[hydrogen]) == pytest.approx(expected[heavy])
    torch.testing.assert_close(ethanol.c_nmr_peaks, torch.tensor([[[18.1, 1.0], [57.8, 1.0]]], dtype=torch.float32))
    assert ethanol.h_nmr_peaks.shape == (1, 3, 2)
    assert (ethanol.name, ethanol.identifier, ethanol.solvent[:12]) == ("ethanol", "10008656", "0:Chloroform")
    assert (ethanol.inchikey, ethanol.smiles) == ("LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "CCO")
    torch.testing.assert_close(nitrile.shift_measured[:3], torch.tensor([1.7, 117.7, -135.0], dtype=torch.float32))
    assert nitrile.h_nmr_peaks.isnan().all()
    assert dataset.sizes.tolist() == [9, 6]
    batch = Collate()(dataset.__getitems__([0, 1]))
    assert batch.h_nmr_peaks.shape == (2, 3, 2)
    assert batch.shift_measured.shape == (15,)
    if conformers:
        validate(batch, kinds=())
        assert (batch.pos[:, 2].abs() > 0.1).any()
    else:
        assert "pos" not in batch


def test_equivalent_carbons_are_one_peak(tmp_path):
    properties = {"Spectrum 13C 0": "64.0;0.0D;1|25.3;0.0Q;0|25.3;0.0Q;2|"}
    text = drawing("isopropanol", ["C", "C", "C", "O"], [(1, 2, 1), (2, 3, 1), (2, 4, 1)], properties)
    data = NMRShiftDB(write(tmp_path, text))[0]
    torch.testing.assert_close(data.c_nmr_peaks, torch.tensor([[[25.3, 2.0], [64.0, 1.0]]], dtype=torch.float32))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("57.8;0.0T;0|", "57.8;0.0T;2|", "signals of C .*the one at 57.8 ppm stands at atom 2 of 9, which is none"),
        ("57.8;0.0T;0|", "57.8;0.0T;20|", "stands at atom 20 of 9, which is none"),
        ("57.8;0.0T;0|", "57.8;0.0T|", "must have signals such as .*; got '57.8;0.0T'"),
        ("57.8;0.0T;0|", "57,8;0.0T;0|", "must have signals such as .*could not convert '57,8'"),
        ("57.8;0.0T;0|", "nan;0.0T;0|", "the shift is not finite"),
        ("57.8;0.0T;0|", "57.8;0.0T;-1|", "the last a number"),
        ("Spectrum 1", "Spektrum 1", "it has no signals"),
        (" O   0", " *   0", "dummy atoms"),
        ("  1  3  1  0", "  1  3  3  0", "RDKit cannot read the drawing"),
    ],
)
def test_broken_records(tmp_path, old, new, match):
    assert old in FIRST
    write(tmp_path, FIRST.replace(old, new) + SECOND)
    with pytest.raises(ValueError, match=rf"record 1 \(ethanol\): .*{match}"):
        NMRShiftDB(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dataset = NMRShiftDB(tmp_path, skip_broken=True)
    assert [data.name for data in dataset] == ["acetonitrile"]
    assert len(dataset.skipped) == 1


def test_missing_and_truncated_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nmrshiftdb2withsignals.sd.*described at https://nmrshiftdb"):
        NMRShiftDB(tmp_path)
    with pytest.raises(ValueError, match="the file is truncated"):
        NMRShiftDB(write(tmp_path, (FIRST + SECOND)[:-20]))
