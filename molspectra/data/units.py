"""Units and constants of physics: the only place of the package that holds their values.

The package works in Å, eV, eV/Å, elementary charges and rad, as ASE does. A unit is given here as its size in these:
multiply a number in that unit by the constant to convert it, divide to convert back. Force fields are written in
kcal/mol, and their constants are kept in that unit (SliDe, SMIRNOFF, MMFF94).

Values are the CODATA recommended values of 2018 (Tiesinga et al. 2021, Rev. Mod. Phys. 93, 025010). Since the SI was
redefined in 2019, those marked exact have no uncertainty.

Example:
    >>> from molspectra.data import units
    >>> round(-40.47893 * units.HARTREE, 4)  # the total energy of methane, eV
    -1101.4878
    >>> round(units.HARTREE / units.KCAL_PER_MOL, 4)
    627.5095
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

SPEED_OF_LIGHT = 299_792_458.0
"""c in m/s, exact."""
PLANCK = 6.62607015e-34
"""h in J s, exact."""
ELEMENTARY_CHARGE = 1.602176634e-19
"""e in C, exact, and the size of 1 eV in J."""
AVOGADRO = 6.02214076e23
"""N_A in 1/mol, exact."""
BOLTZMANN = 1.380649e-23 / ELEMENTARY_CHARGE
"""k_B in eV/K, exact."""

HARTREE = 27.211386245988
"""1 Hartree in eV, relative uncertainty 1.9e-12."""
KCAL_PER_MOL = 4184 / (AVOGADRO * ELEMENTARY_CHARGE)
"""1 kcal/mol in eV, exact. A thermochemical calorie is 4.184 J."""
ENERGY: Mapping[str, float] = MappingProxyType({"eV": 1.0, "kcal/mol": KCAL_PER_MOL, "Hartree": HARTREE})
"""Name of a unit of energy → its size in eV."""

BOHR = 0.529177210903
"""1 Bohr (a0) in Å, relative uncertainty 1.5e-10."""
DEGREE = math.pi / 180
"""1 degree in rad."""

WAVENUMBERS_PER_EV = 1e-2 * ELEMENTARY_CHARGE / (PLANCK * SPEED_OF_LIGHT)
"""Wavenumber in cm^-1 of a photon of 1 eV, e / (h c), exact."""

MMFF94_MILLIDYNE = 143.9325
"""1 mdyn/Å in kcal/mol/Å^2, and 1 mdyn Å/rad^2 in kcal/mol/rad^2, as MMFF94 rounds it.

Halgren 1996, J. Comput. Chem. 17, 490. The exact value, 143.93262, would change the constants of the force field.
"""
