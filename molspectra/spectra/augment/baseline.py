"""Baselines: polynomials, and what a rubber-band correction leaves of a curved one."""

import torch
from torch import Tensor

from molspectra._validation import check_sizes
from molspectra.spectra.augment.augmentation import GridAugmentation, strongest
from molspectra.spectra.augment.ranges import Range, check_range, draw, uniform
from molspectra.spectra.axis import SpectrumAxis


class Baseline(GridAugmentation):
    """Polynomial baseline, s + b(x) with b a random sum of Legendre polynomials over the axis.

    Scattering by grains, a drifting lamp or a dirty window add a smooth background, of either sign after subtraction of
    a reference. A degree of 0 is an offset.

    Args:
        amplitude: Largest |b|, as part of the largest |s| of the spectrum.
        degree: Degree of the polynomial.

    Raises:
        ValueError: `amplitude` or `degree` is negative.

    Example:
        >>> Baseline(0.1, degree=0)(torch.ones(1, 3501), ms.data.IR).unique().shape  # an offset
        torch.Size([1])
    """

    def __init__(self, amplitude: Range = (0.0, 0.1), degree: int = 3) -> None:
        self.amplitude = check_range("amplitude", amplitude, low=0)
        if degree < 0:
            raise ValueError(f"degree must be at least 0, an offset; got {degree}.")
        self.degree = degree

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the baseline, to all samples that are known."""
        coefficients = 2 * uniform((spectra.shape[0], self.degree + 1), spectra, generator) - 1
        curve = coefficients @ _legendre(self.degree, axis.length, spectra)
        # An all but constant polynomial of high degree is improbable, but a division by zero must not happen.
        largest = curve.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(curve.dtype).tiny)
        return spectra + draw(self.amplitude, spectra, generator) * strongest(spectra) * (curve / largest)


class RubberBandResidue(GridAugmentation):
    """Residue of a rubber-band correction: arcs between the points where the band touches the spectrum.

    The correction subtracts straight lines between these points. From a baseline of constant curvature c the part
    c/2 (x - x_i)(x_{i+1} - x) remains between neighbors x_i and x_{i+1}. It is positive, since the band spans concave
    parts of the baseline only.

    Args:
        amplitude: Height of the highest arc, as part of the largest |s| of the spectrum.
        contacts: Number of points of contact between the two ends of the axis, at random places.

    Raises:
        ValueError: `amplitude` is negative, or `contacts` is less than 1.

    Example:
        >>> residue = RubberBandResidue(0.1, contacts=3)(torch.ones(1, 3501), ms.data.IR) - 1
        >>> round(float(residue.max()), 4), bool(residue.min() >= 0)
        (0.1, True)
    """

    def __init__(self, amplitude: Range = (0.0, 0.1), contacts: int = 5) -> None:
        self.amplitude = check_range("amplitude", amplitude, low=0)
        check_sizes(contacts=contacts)
        self.contacts = contacts

    def apply(self, spectra: Tensor, axis: SpectrumAxis, generator: torch.Generator | None) -> Tensor:
        """Add the residue, to all samples that are known."""
        inner = uniform((spectra.shape[0], self.contacts), spectra, generator).sort(dim=1).values
        contacts = torch.cat([torch.zeros_like(inner[:, :1]), inner, torch.ones_like(inner[:, :1])], dim=1)
        place = _places(axis.length, spectra).expand(spectra.shape[0], -1).contiguous()
        above = torch.searchsorted(contacts, place, right=True).clamp(1, self.contacts + 1)
        arcs = (place - contacts.gather(1, above - 1)) * (contacts.gather(1, above) - place)
        largest = arcs.amax(dim=1, keepdim=True).clamp_min(torch.finfo(arcs.dtype).tiny)
        return spectra + draw(self.amplitude, spectra, generator) * strongest(spectra) * (arcs / largest)


def _places(length: int, like: Tensor) -> Tensor:
    """Return places of the samples on the axis from 0 to 1, (L,)."""
    return torch.linspace(0, 1, length, dtype=like.dtype, device=like.device)


def _legendre(degree: int, length: int, like: Tensor) -> Tensor:
    """Return the Legendre polynomials up to a degree, (degree + 1, L), by Bonnet's recursion."""
    x = 2 * _places(length, like) - 1
    polynomials = [torch.ones_like(x), x]
    for n in range(1, degree):
        polynomials.append(((2 * n + 1) * x * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
    return torch.stack(polynomials[: degree + 1])
