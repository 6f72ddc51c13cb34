"""Chemical shifts of NMR spectra whose positions are given in Hz."""

from molspectra.data.io.jcamp_file import JCAMPFile


def chemical_shifts(file: JCAMPFile, positions: list[float]) -> list[float]:
    """Convert frequencies in Hz to shifts in ppm.

    δ_k = δ_r + (ν_k - ν_r) / ν_0, with ν_0 in MHz from .OBSERVE FREQUENCY, and point r with its shift δ_r in ppm from
    .SHIFT REFERENCE. JCAMP-DX 5.01, P. Lampen et al., Pure Appl. Chem. 71, 1549 (1999).

    Raises:
        ValueError: a label is missing or damaged.
    """
    frequency = file.number(".OBSERVEFREQUENCY")
    text = file.labels.get(".SHIFTREFERENCE", "")
    try:
        _, _, point, shift = text.split(",")
        reference, at = positions[_index(point, len(positions))], float(shift)
    except (ValueError, IndexError):
        raise ValueError(
            f"{file.path} must have a shift reference for its positions in Hz to become ppm, as in ##.SHIFT REFERENCE="
            f'INTERNAL, CDCl3, 1, 15.5: the number of a point, from 1, and its shift; got {text!r}. Pass x_unit="ppm" '
            "if they are in ppm."
        ) from None
    if not frequency > 0:
        raise ValueError(f"{file.path} must have a positive ##.OBSERVE FREQUENCY=, in MHz; got {frequency:g}.")
    return [at + (position - reference) / frequency for position in positions]


def _index(text: str, count: int) -> int:
    point = int(text)
    if not 1 <= point <= count:
        raise IndexError(point)
    return point - 1
