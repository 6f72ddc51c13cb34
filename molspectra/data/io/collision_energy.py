"""Collision energies, as libraries of mass spectra write them."""

import math
import re

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?")
_NORMALIZED = re.compile(r"%|\bnce\b|\bnormali[sz]ed\b")
_ELECTRON_VOLTS = re.compile(r"e ?v|v|volts?|electron ?volts?")
_BOTH = re.compile(rf"(?:nce ?= ?)({_NUMBER.pattern}) ?%[,; ]+({_NUMBER.pattern}) ?ev")  # as NIST writes them
# Words that say nothing else about a normalized energy. An energy without a unit must stand by itself.
_SILENT = re.compile(r"%|\b(?:nce|normali[sz]ed|nominal|collision|energy|hcd|cid)\b|[()\[\]:=,\s]")


def parse_collision_energy(text: str) -> tuple[float, float]:
    """Read a collision energy in eV, or one that is normalized by the mass of the ion, in percent.

    A number by itself is in eV, and so is one in volts, of a singly charged ion. Texts with several energies (ramps,
    steps), or with a number whose unit is not certain, such as "HCD 35", give neither.

    Args:
        text: Energy as the file has it.

    Returns:
        Energy in eV and normalized energy in percent, one or both NaN.

    Example:
        >>> [parse_collision_energy(text) for text in ("20 eV", "35 % (nominal)", "15, 30, 45 eV")]
        [(20.0, nan), (nan, 35.0), (nan, nan)]
    """
    plain = text.strip().lower()
    both = _BOTH.fullmatch(plain)
    if both is not None:
        return float(both[2]), float(both[1])
    numbers = _NUMBER.findall(plain)
    if len(numbers) != 1:
        return math.nan, math.nan
    value, rest = float(numbers[0]), _NUMBER.sub(" ", plain, count=1).strip()
    if value < 0:
        return math.nan, math.nan
    if not rest or _ELECTRON_VOLTS.fullmatch(rest):
        return value, math.nan
    if _NORMALIZED.search(rest) and not _SILENT.sub("", rest):
        return math.nan, value
    return math.nan, math.nan
