"""Peaks of molecules and fragments with one atom of carbon-13."""

import torch
from torch import Tensor

from molspectra._validation import check_sizes
from molspectra.spectra.augment.augmentation import PeakAugmentation
from molspectra.spectra.augment.ranges import Range, check_range, uniform
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis

C13_SPACING = 1.0033548
"""Mass of carbon-13 less that of carbon-12, in u."""
C13_RATIO = 0.0107 / 0.9893
"""Ratio of the natural abundances of carbon-13 and carbon-12 (IUPAC), 1.08 %."""


class IsotopePeaks(PeakAugmentation):
    """Addition of the peak M+1 to every peak, which is due to one atom of carbon-13.

    A fragment of n carbons has n 0.0107 / 0.9893 as many ions with one carbon-13 as without, 1.1 % for each carbon, at
    an m/z that is larger by 1.00335 / charge. Computed spectra, and those of a selected monoisotopic precursor, lack
    this peak. The number of carbons is estimated from the mass and a random mass per carbon. Peaks of two carbon-13 or
    of other elements are left out.

    Args:
        mass_per_carbon: Mass of a fragment per carbon in u, drawn for each peak: 13 for an aromatic hydrocarbon, 14 for
            an alkane, up to 25 with many heteroatoms.
        charge: Charge of the ions.

    Raises:
        ValueError: `mass_per_carbon` is less than 12, or `charge` is less than 1.

    Example:
        >>> benzene = torch.tensor([[[78.047, 100.0]]])
        >>> IsotopePeaks(mass_per_carbon=78.047 / 6)(benzene)
        tensor([[[ 78.0470, 100.0000],
                 [ 79.0504,   6.4894]]])
    """

    def __init__(self, mass_per_carbon: Range = (13.0, 25.0), charge: int = 1) -> None:
        self.mass_per_carbon = check_range("mass_per_carbon", mass_per_carbon, "u", low=12)
        check_sizes(charge=charge)
        self.charge = charge

    def apply(self, peaks: Tensor, axis: SpectrumAxis | PeakAxis | None, generator: torch.Generator | None) -> Tensor:
        """Append the isotope peaks, (B, 2K, 2)."""
        mass, intensity = peaks.unbind(-1)
        low, high = self.mass_per_carbon
        # Padding has no carbons, since NaN · 0 = NaN in the gradient.
        carbons = (
            mass.detach().nan_to_num(0.0)
            * self.charge
            / (low + (high - low) * uniform(tuple(mass.shape), peaks, generator))
        )
        isotopes = torch.stack([mass + C13_SPACING / self.charge, intensity * (C13_RATIO * carbons)], dim=-1)
        return torch.cat([peaks, isotopes], dim=1)
