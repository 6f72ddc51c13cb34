"""Units of positions and kinds of intensities, as instruments and people write them."""

import re
import unicodedata

Y_UNITS = ("absorbance", "transmittance", "percent_transmittance", "intensity")
"""Quantities that the values of a measured spectrum can be."""

# Unit → the ways to write it, in small letters. No letter may stand before or after.
_UNITS = {
    "cm^-1": r"1 ?/ ?cm(?![\d^*])|cm ?(?:\^|\*\*|_)? ?[{(]?-?1[)}]?(?!\d)|kaysers?|wavenumbers? ?/ ?cm(?!\d)",
    "nm": r"(?<!1/)(?<!1 / )nm(?! ?\^? ?[{(]?-1)|nanomet(?:er|re)s?",
    "um": r"(?<!1/)(?<!1 / )um(?! ?\^? ?[{(]?-1)|microns?|micromet(?:er|re)s?",
    "eV": r"ev|electron ?volts?",
    "ppm": r"ppm|parts per million",
    "m/z": r"m ?/ ?z|mz|mass.to.charge(?: ratio)?|thomsons?|da|daltons?|amu",
    "Hz": r"hz|hertz",
    "kHz": r"khz",
    "MHz": r"mhz",
    "GHz": r"ghz",
    "THz": r"thz",
    "meV": r"mev",
    "keV": r"kev",
    "nm^-1": r"1 ?/ ?nm|nm ?\^? ?[{(]?-1[)}]?",
    "um^-1": r"1 ?/ ?um|um ?\^? ?[{(]?-1[)}]?",
    "m^-1": r"1 ?/ ?m|m ?(?:\^|\*\*)? ?[{(]?-1[)}]?",
    "mm": r"mm|millimet(?:er|re)s?",
    "angstrom": r"angstr[oö]ms?|å",
    "kJ/mol": r"kj ?(?:/|\*)? ?mol(?:\^?-1)?",
    "kcal/mol": r"kcal ?(?:/|\*)? ?mol(?:\^?-1)?",
    "Hartree": r"hartrees?",
    "kK": r"kk|kilokaysers?",
}
_UNITS = {unit: rf"(?<![a-z])(?:{spellings})(?![a-z])" for unit, spellings in _UNITS.items()}
# A quantity that is always given in one unit.
_CUSTOMARY = {
    "cm^-1": r"wave ?numbers?|wellenzahl|raman ?shift",
    "ppm": r"chemical ?shift|chemische verschiebung|(?<![a-zα-ω])δ(?![a-zα-ω])",
    "m/z": r"(?<![a-z])mass(?:es)?(?![a-z])",
}
BARE = {"wavelength": ("nm", "um"), "energy": ("eV",), "frequency": ("Hz", "kHz", "MHz", "GHz", "THz", "cm^-1")}
"""Quantity that is given in several units → those among which the axis may choose, if a header names none."""
_BARE_WORDS = {
    "wavelength": r"wave ?length|wellenl[aä]nge|lambda|λ",
    "energy": r"energ(?:y|ie)",
    "frequency": "frequen",
}
_ROW_NUMBER = r"#|no\.?|nr\.?|n|i|idx|index|row|point|points|number|unnamed: ?0"

# Quantities over which other measurements are made, and columns that count.
_OTHERS = (
    r"(?:2|two)[ -]?(?:th(?:eta)?(?![a-z])|θ)|theta|θ|"
    r"(?<![a-z])(?:tth|angles?|winkel|time|zeit|retention|temperature|temperatur|potential|voltage|spannung|channels?|kanal|pixels?|scans?|pressure|druck|concentration|konzentration|depth|"
    r"distance|field|volume|dose|d[ -]?spacing|scattering vector)(?![a-z])"
)

_FACTOR = r"(?<![a-z])[x×*·] ?10|10 ?(?:\^|\*\*) ?[+-]?\d"

_UNCONVERTED = (
    r"emissivity|photoacoustic|interferogram|"
    r"(?<![a-z])f ?\(r|single ?beam|ellipticity|dichroism|mdeg|(?<![a-z])mod(?![a-z])|"
    r"reflect|kubelka|remission|% ?r(?![a-z])|(?<![a-z])r ?[(\[]? ?%|1 ?/ ?r(?![a-z])|absorptance"
    r"|(?<![a-z])(?:log|ln|lg|logarithm)(?![a-z])|log10|(?<![a-z])db(?![a-z])|derivative|(?<![a-z])m(?:au|abs|a\.u\.)(?![a-z])"
)
_LOG_OF_INVERSE = r"(?:log|lg)(?:10)? ?[(\[]? ?1 ?/ ?t(?![a-z])|- ?(?:log|lg)(?:10)? ?[(\[]? ?t(?![a-z])"
_TRANSMITTANCE = (
    r"transmi|durchl[aä]ss|% ?tr?(?:ans)?(?![a-z])|(?<![a-z])t ?[(\[/]? ?%|percent t(?:rans)?(?![a-z])"
    r"|(?<![a-z])t ?(?:percent|pct)(?![a-z])"
)
_COEFFICIENT = r"absorptivit|coefficient|molar|mol|epsilon|ε|cross.section"
_ABSORBANCE = r"absorb(?:ance|anz)|absorption|extin[kc]tion|optical density|(?<![a-z])abs(?![a-z])"
_INTENSITY = (
    r"intens|count|(?<![a-z])cnts?(?![a-z])|(?<![a-z])cps|signal|abundance|emission|fluoresc|luminesc"
    r"|raman(?! ?shift)|irradiance|radiance|power|oscillator|arbitrary|(?<![a-z])(?:int|arb|a\. ?u)(?![a-z])"
)
_ABBREVIATIONS = {
    **dict.fromkeys(("a", "od"), "absorbance"),
    **dict.fromkeys(("t", "tr", "trans"), "transmittance"),
    **dict.fromkeys(("i", "au"), "intensity"),
}


def position_unit(text: str) -> str | None:
    """Read the unit of positions from a header, a label or an argument.

    Returns:
        "cm^-1", "nm", "um", "eV", "ppm" or "m/z", another unit or quantity as it is named, a key of `BARE` for a
        quantity without its unit, "row number", or None for a text that says nothing about units.

    Raises:
        ValueError: the text has two units, or a power of ten before one.

    Example:
        >>> [position_unit(text) for text in ("Wavenumber / cm⁻¹", "λ [nm]", "µm", "Wavelength", "Time (min)", "x")]
        ['cm^-1', 'nm', 'um', 'wavelength', 'min', None]
    """
    plain = _plain(text)
    found = [unit for unit, pattern in _UNITS.items() if re.search(pattern, _without_values(plain))]
    if found and re.search(_FACTOR, plain):
        raise ValueError(f"{text!r} has a factor, by which positions may or may not have been multiplied.")
    if len(found) > 1:
        raise ValueError(f"{text!r} names more than one unit of positions: {found}.")
    if found:
        return found[0]
    bracket = re.search(r"[(\[]([^()\[\]\d]+)[)\]]", plain)
    quantity = next((unit for unit, pattern in _CUSTOMARY.items() if re.search(pattern, plain)), None)
    if bracket and not quantity:
        return bracket.group(1).strip()
    if re.fullmatch(_ROW_NUMBER, plain):
        return "row number"
    named = quantity or next((name for name, pattern in _BARE_WORDS.items() if re.search(pattern, plain)), None)
    other = re.search(_OTHERS, plain)
    return named or (other[0] if other else None)


def is_unit(name: str | None) -> bool:
    """Return True for what `position_unit` reads from a text that surely is about positions of a spectrum."""
    return name in _UNITS or name in BARE


def is_position(text: str) -> bool:
    """Check that a header names positions: it would be a mistake to read its column as intensities."""
    if value_kind(text) is not None:
        return False
    plain = _without_values(_plain(text))
    named = [*_CUSTOMARY.values(), *_BARE_WORDS.values(), _OTHERS]
    named += [rf"(?<!/){unit}" for unit in _UNITS.values()]  # "W/cm^2/nm" is an intensity
    return re.fullmatch(_ROW_NUMBER, plain) is not None or any(re.search(pattern, plain) for pattern in named)


def value_kind(text: str) -> str | None:
    """Read the kind of intensities from a header or a label.

    Returns:
        One of `Y_UNITS`, "unconverted" for a quantity that is none of them (reflectance, a logarithm, …), or None for a
        text that names no quantity.

    Example:
        >>> [value_kind(text) for text in ("%T", "Transmittance", "Abs.", "Counts", "% Reflectance", "ethanol")]
        ['percent_transmittance', 'transmittance', 'absorbance', 'intensity', 'unconverted', None]
    """
    plain = _plain(text)
    percent = re.search(r"%|percent|(?<![a-z])pct(?![a-z])", plain) is not None
    if re.search(_LOG_OF_INVERSE, plain):
        return "absorbance"
    if re.search(_UNCONVERTED, plain):
        return "unconverted"
    if re.search(_TRANSMITTANCE, plain):
        if re.search(_ABSORBANCE, plain):
            return "unconverted"  # a text that names both
        return "percent_transmittance" if percent else "transmittance"
    if re.search(_COEFFICIENT, plain):
        return "intensity"  # proportional to absorbance
    if re.search(_ABSORBANCE, plain):
        return "unconverted" if percent or re.search(_FACTOR, plain) else "absorbance"
    if re.search(_INTENSITY, plain):
        return "intensity"
    if percent:
        return "unconverted"
    # A letter counts where it is the whole header. Elsewhere it may be part of the name of a sample.
    return _ABBREVIATIONS.get(re.sub(r"[\s.()\[\]]", "", plain))


def _without_values(plain: str) -> str:
    """Leave out quantities, such as "532 nm" of a laser, which say nothing about a column."""
    return re.sub(r"(?<![a-z\d/^-])\d+(?:\.\d+)? ?(?=[a-zå])(?!/)[a-zå]+(?:\^?-1)?(?![a-z])", " ", plain)


def _plain(text: str) -> str:
    """Return text in small letters, with plain digits, signs and spaces."""
    text = unicodedata.normalize("NFKC", text.replace("¯", "-")).lower()
    text = re.sub(r"[−–—]", "-", text).replace("μ", "u")
    return re.sub(r"[\s_\"']+", " ", text).strip()
