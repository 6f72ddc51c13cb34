"""Names and units of spectra in labels, and the customary direction of their axes."""

from typing import Any

from molspectra.spectra import SpectrumAxis

_KINDS = {"uv_vis": "UV-Vis", "ir": "IR", "raman": "Raman"}
_UNITS = {"cm^-1": "cm$^{-1}$", "1/cm": "cm$^{-1}$"}
_QUANTITIES = {"cm^-1": "wavenumber", "1/cm": "wavenumber", "eV": "energy", "nm": "wavelength", "ppm": "chemical shift"}
SAMPLES = "sample"


def kind_name(kind: str) -> str:
    """Return the name of a kind of spectrum, as in "UV-Vis"."""
    return _KINDS.get(kind, kind.replace("_", " "))


def unit_name(axis: SpectrumAxis | None) -> str:
    """Return the unit of an axis in matplotlib's notation, or "sample"."""
    return SAMPLES if axis is None else _UNITS.get(axis.unit, axis.unit)


def axis_label(axis: SpectrumAxis | None) -> str:
    """Return the quantity and unit of an axis, as in "energy (eV)"."""
    if axis is None or is_mass(axis):
        return unit_name(axis)
    quantity = "Raman shift" if axis.name == "raman" else _QUANTITIES.get(axis.unit, kind_name(axis.name))
    return f"{quantity} ({unit_name(axis)})"


def is_mass(axis: SpectrumAxis | None) -> bool:
    """Return True for mass-to-charge ratios, of which spectra are drawn as sticks."""
    return axis is not None and axis.unit.lower().replace(" ", "") in ("m/z", "da", "u")


def customary_direction(panel: Any, axis: SpectrumAxis | None) -> None:
    """Limit a panel to an axis, and turn it where chemists draw it descending: infrared, and chemical shifts."""
    if axis is None:
        panel.margins(x=0)
        return
    descending = axis.unit == "ppm" or axis.name == "ir"
    panel.set_xlim(*((axis.stop, axis.start) if descending else (axis.start, axis.stop)))
