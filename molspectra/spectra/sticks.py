"""Sticks: the lines of a spectrum before broadening."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from molspectra._repr import fields_repr
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.broadening import broaden


class Sticks(NamedTuple):
    """Positions and intensities of the lines of several molecules, one after another, in any order within each.

    Several kinds of spectra of the same transitions share the positions: a vibration has one wavenumber, and an
    intensity in the infrared and in the Raman spectrum.
    """

    positions: Float[Tensor, " sticks"]
    """Position of each line, (S,), in the unit of the axes."""
    intensities: dict[str, Float[Tensor, " sticks"]]
    """Kind → intensity of each line, (S,). NaN in a kind that is not known for the molecule."""
    molecule: Int[Tensor, " sticks"]
    """Molecule of each line, (S,)."""
    num_molecules: int
    """Number of molecules M."""

    def broaden(
        self, axes: Mapping[str, SpectrumAxis], fwhm: Mapping[str, float], shape: Mapping[str, str]
    ) -> dict[str, Float[Tensor, "molecules _"]]:
        """Broaden each kind to spectra (M, L) on its axis, see :func:`broaden`."""
        return {
            kind: broaden(
                self.positions, values, axes[kind], fwhm[kind], shape[kind], self.molecule, self.num_molecules
            )
            for kind, values in self.intensities.items()
        }

    def __repr__(self) -> str:
        return fields_repr(self)
