"""Hundreds of damaged files of many spectra: each one read has the peaks of the damaged text, or is left out."""

import random
import re
import warnings

import pytest

from molspectra.data import read_spectra
from tests.data.io.mzml_files import mzml, spectrum
from tests.data.io.test_fuzzed_files import NUMBER, damage

FILES = 250  # of each format
PEAK = re.compile(rf"\s*({NUMBER})[\s,:]+({NUMBER})((?:[\s,:]+{NUMBER})?)\s*")


def peaks(rng: random.Random) -> list[tuple[float, float]]:
    return [(round(rng.uniform(15, 900), 4), round(rng.uniform(0.1, 999), 2)) for _ in range(rng.randrange(1, 6))]


def a_file(form: str, rng: random.Random) -> str:
    text = ""
    for name in ("first", "second", "third"):
        found = peaks(rng)
        rows = "".join(f"{x} {y}\n" for x, y in found)
        if form == "msp":
            text += f"Name: {name}\nPrecursorMZ: 47.05\nSMILES: CCO\nNum Peaks: {len(found)}\n{rows}\n"
        elif form == "mgf":
            text += f"BEGIN IONS\nTITLE={name}\nPEPMASS=47.05\n{rows}END IONS\n\n"
        else:
            rows = "".join(f"  {x} {y} 9\n" for x, y in found)
            text += f"ACCESSION: X\nCH$NAME: {name}\nPK$NUM_PEAK: {len(found)}\nPK$PEAK: m/z int. rel.int.\n{rows}//\n"
    return text


def strict_lists(form: str, text: str) -> list[list[tuple[float, float]]]:
    """Return every run of lines that are peaks by the strictest rule. Comments, and empty lines of MGF, are none."""
    runs: list[list[tuple[float, float]]] = [[]]
    for line in text.splitlines():
        comment = line.lstrip().startswith(("#", ";", "!", "/")) if form == "mgf" else line.startswith("#")
        if comment or (form == "mgf" and not line.strip()):
            continue
        match = PEAK.fullmatch(line.strip(" ;,\t"))
        if match:
            runs[-1].append((float(match[1]), float(match[2])))
        else:
            runs.append([])
    return [run for run in runs if run]


@pytest.mark.parametrize("form", ["msp", "mgf", "txt"])
def test_damaged_text(tmp_path, form):
    rng = random.Random(form)
    path = tmp_path / f"damaged.{form}"
    outcomes = {"read": 0, "left out": 0, "refused": 0}
    for _ in range(FILES):
        text = damage(a_file(form, rng), 0, rng)
        path.write_text(text, encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                reader = read_spectra(path)
                molecules = list(reader)
            except ValueError as error:
                assert "damaged." in str(error)  # noqa: PT017
                outcomes["refused"] += 1
                continue
        allowed = strict_lists(form, text)
        for data in molecules:
            found = [tuple(pair) for pair in data.msms[0].double().tolist()]
            assert any(
                len(run) == len(found) and all(a == pytest.approx(b, rel=1e-6) for a, b in zip(run, found, strict=True))
                for run in allowed
            ), (text, found)
        outcomes["read"] += len(molecules)
        outcomes["left out"] += len(reader.skipped)
        assert all(each.reason and each.record for each in reader.skipped)
    assert min(outcomes["read"], outcomes["left out"]) > 50, outcomes


def test_damaged_mzml(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "damaged.mzML"
    read = broken = 0
    for _ in range(120):
        lists = [peaks(rng) for _ in range(3)]
        text = mzml(*(spectrum(number, each, compressed=True) for number, each in enumerate(lists, 1)))
        path.write_text(damage(text, text.index("<spectrum index"), rng), encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", (UserWarning, ResourceWarning))
            try:
                reader = read_spectra(path)
                molecules = list(reader)
            except ValueError as error:
                assert "damaged.mzML" in str(error)  # noqa: PT017
                broken += 1
                continue
        broken += len(reader.skipped)
        for data in molecules:
            found = data.msms[0].double().tolist()
            assert any(found == [pytest.approx(pair, rel=1e-6) for pair in each] for each in lists), path.read_text()
        read += len(molecules)
    assert min(read, broken) > 30
