"""Fields of a molecule out of the record of a mass spectrum: peaks, and statements about structure and measurement."""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.io.collision_energy import parse_collision_energy
from molspectra.data.io.text import to_float

# Field → the names under which files state it, without blanks and underscores, the better one first.
_TEXTS = {
    "name": ("name", "title", "compoundname"),
    "identifier": ("accession", "identifier", "db", "spectrumid", "nistno", "scans", "title"),
    "smiles": ("smiles", "computedsmiles"),
    "inchikey": ("inchikey",),
    "formula": ("formula", "molecularformula", "mf"),
    "adduct": ("precursortype", "adduct", "adducttype", "adductionname", "iontype"),
    "ion_mode": ("ionmode", "polarity", "mode"),
    "instrument": ("instrumenttype", "sourceinstrument", "instrument"),
    "collision_energy_text": ("collisionenergy", "collisionenergyvoltage", "ce"),
}
_PRECURSOR = ("precursormz", "pepmass")
_CHARGE = ("charge", "precursorcharge")
_NO_ENTRY = {"", "n/a", "na", "nan", "none", "null", "unknown", "-", "?"}
_ION_MODES = {"positive": "positive", "negative": "negative", "p": "positive", "n": "negative", "+": "positive"}
_INCHIKEY = re.compile(r"[A-Z]{14}(-[A-Z]{10}(-[A-Z])?)?")


def record_fields(stated: Mapping[str, str]) -> dict[str, str | Tensor]:
    """Convert what a record states to fields, which are the same for all records.

    Args:
        stated: Name, as `plain_name` makes it, → text.

    Returns:
        Texts, empty where nothing is stated: `name`, `identifier`, `smiles`, `inchikey`, `formula`, `adduct`,
        `ion_mode` ("positive", "negative"), `instrument`, `collision_energy_text`. Numbers, (1,) float64, NaN where
        nothing is stated: `precursor_mz`, `precursor_charge` (e), `collision_energy` (eV),
        `normalized_collision_energy` (percent).

    Raises:
        ValueError: the precursor or its charge is no number.
    """
    fields: dict[str, str | Tensor] = {field: _first(stated, names) for field, names in _TEXTS.items()}
    if not _INCHIKEY.fullmatch(str(fields["inchikey"])):
        fields["inchikey"] = ""
    adduct = str(fields["adduct"])
    mode = str(fields["ion_mode"]).lower()
    fields["ion_mode"] = _ION_MODES.get(mode) or ("negative" if mode == "-" else _mode_of_adduct(adduct))
    energy, normalized = parse_collision_energy(str(fields["collision_energy_text"]))
    fields["precursor_mz"] = _number(_precursor(_first(stated, _PRECURSOR)))
    fields["precursor_charge"] = _number(_charge(_first(stated, _CHARGE), adduct, str(fields["ion_mode"])))
    fields["collision_energy"] = _number(energy)
    fields["normalized_collision_energy"] = _number(normalized)
    return fields


def peaks_field(positions: Sequence[float], intensities: Sequence[float]) -> Tensor:
    """Return the list of peaks of a mass spectrum as a field, (1, K, 2) float32: m/z and intensity.

    Raises:
        ValueError: there is none, m/z are not positive, or intensities are negative.
    """
    if not positions:
        raise ValueError("it has no peaks.")
    for position, intensity in zip(positions, intensities, strict=True):
        if not (0 < position < math.inf and 0 <= intensity < math.inf):
            raise ValueError(
                f"peaks must have a positive m/z and an intensity of 0 or more; got {position:g} and {intensity:g}."
            )
    table = torch.tensor([list(positions), list(intensities)], dtype=torch.float64).to(torch.float32)
    if not bool(table.isfinite().all()):
        raise ValueError("peaks must be within the range of float32.")
    return table.t().unsqueeze(0).contiguous()


def add_fields(data: Data, fields: Mapping[str, str | Tensor]) -> Data:
    """Set the fields of a record on a molecule."""
    for name, value in fields.items():
        data[name] = value
    return data


def _first(stated: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the first text that says something, or an empty one."""
    return next((stated[name] for name in names if stated.get(name, "").strip().lower() not in _NO_ENTRY), "")


def _number(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _precursor(text: str) -> float:
    """Return the m/z of a precursor. MGF states its intensity as well, and 0 where it is unknown."""
    if not text:
        return math.nan
    try:
        value = to_float(text.split()[0].split("/")[0])
    except ValueError as error:
        raise ValueError(f"the m/z of the precursor must be a number; got {text!r}.") from error
    if not 0 <= value < math.inf:
        raise ValueError(f"the m/z of the precursor must be positive; got {text!r}.")
    return value or math.nan


def _charge(text: str, adduct: str, ion_mode: str) -> float:
    """Return the charge of a precursor. Without a sign, it has that of the mode."""
    if not text:
        found = re.fullmatch(r"\[.*\](\d*)([+-])", adduct.strip())
        return math.nan if found is None else float(f"{found[2]}{found[1] or 1}")
    found = re.fullmatch(r"\s*([+-]?)(\d+)([+-]?)\s*", text)
    if found is None or (found[1] and found[3]):
        raise ValueError(f"the charge must be a whole number such as 1+; got {text!r}.")
    sign = found[1] or found[3] or ("-" if ion_mode == "negative" else "+")
    value = float(f"{sign}{found[2]}")
    return value or math.nan  # GNPS writes 0 for an unknown charge


def _mode_of_adduct(adduct: str) -> str:
    if not adduct.strip():
        return ""
    return {"+": "positive", "-": "negative"}.get(adduct.strip()[-1], "")
