"""Rotation-vibration lines of a rigid asymmetric rotor, such as water."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

BOLTZMANN = 0.6950348  # cm^-1 / K


class Constants(NamedTuple):
    """Rotational constants A ≥ B ≥ C of a vibrational state, in cm^-1."""

    a: float
    b: float
    c: float


class Level(NamedTuple):
    """The 2J + 1 rotational levels of one J, ascending. Level n has Ka = ⌈n / 2⌉ and Kc = J - ⌊n / 2⌋."""

    energy: Float64[Tensor, " levels"]
    """Energies in cm^-1."""
    states: Float64[Tensor, "levels levels"]
    """Amplitudes on the symmetric tops |J, K>, K = -J … J along a, (K, n)."""


def levels(j: int, constants: Constants) -> Level:
    """Diagonalize H = A J_a² + B J_b² + C J_c² in the basis of symmetric tops about a (representation I^r).

    D. Papoušek and M. R. Aliev, Molecular Vibrational-Rotational Spectra (1982), chapter 7.
    """
    a, b, c = constants
    k = torch.arange(-j, j + 1, dtype=torch.float64)
    total = j * (j + 1)
    hamiltonian = torch.diag((b + c) / 2 * (total - k.square()) + a * k.square())
    coupled = (b - c) / 4 * ((total - k * (k + 1)) * (total - (k + 1) * (k + 2))).clamp_min(0).sqrt()[:-2]
    if j > 0:  # |K> with |K ± 2>
        hamiltonian += torch.diag(coupled, 2) + torch.diag(coupled, -2)
    return Level(*torch.linalg.eigh(hamiltonian))


def band(
    origin: float, ground: Constants, excited: Constants, dipole: str, temperature: float, max_j: int
) -> tuple[Float64[Tensor, " lines"], Float64[Tensor, " lines"]]:
    """Return positions in cm^-1 and strengths of the lines of one vibrational band, whose strengths sum to 1.

    A line from level i to f has a strength ∝ ν g_i exp(-E_i / kT) S_if, with the line strength S_if of the dipole and
    the spin weight g_i of a molecule with two equal hydrogens about b: 3 for odd Ka + Kc (ortho), 1 for even (para).

    Args:
        origin: Energy of the band without rotation, in cm^-1.
        ground: Rotational constants of the vibrational ground state.
        excited: Rotational constants of the excited state.
        dipole: Axis of the vibration's dipole, "a" or "b".
        temperature: Temperature in K.
        max_j: Largest J of both states.
    """
    positions, strengths = [], []
    above = [levels(j, excited) for j in range(max_j + 1)]
    for j in range(max_j + 1):
        below = levels(j, ground)
        ortho = (j + torch.arange(2 * j + 1)) % 2 == 1  # Ka + Kc = J + n mod 2
        population = (1 + 2 * ortho) * torch.exp(-below.energy / (BOLTZMANN * temperature))
        for j_above in range(max(0, j - 1), min(max_j, j + 1) + 1):
            line = origin + above[j_above].energy[:, None] - below.energy
            strength = line_strengths(j, below, j_above, above[j_above], dipole)
            positions.append(line.flatten())
            strengths.append((line * population * strength).flatten())
    strength = torch.cat(strengths)
    return torch.cat(positions), strength / strength.sum()


def line_strengths(j: int, below: Level, j_above: int, above: Level, dipole: str) -> Float64[Tensor, "above below"]:
    """Return the line strengths of a dipole of length 1, summed over directions in space.

    The sum over all levels above of all three J is 2J + 1.
    """
    amplitude = torch.zeros(2 * j_above + 1, 2 * j + 1, dtype=torch.float64)
    # In I^r, a is z and b is x: J_0 = z and (J_-1 - J_+1) / √2 = x as a spherical tensor.
    for q, factor in {"a": {0: 1.0}, "b": {-1: math.sqrt(0.5), 1: -math.sqrt(0.5)}}[dipole].items():
        for k in range(-j, j + 1):
            if abs(k + q) <= j_above:
                amplitude[k + q + j_above, k + j] += factor * _clebsch_gordan(j, k, q, j_above)
    return (2 * j + 1) * (above.states.T @ amplitude @ below.states).square()


def _clebsch_gordan(j: int, k: int, q: int, j_above: int) -> float:
    """Return <j k, 1 q | j_above k + q>, from the table for angular momentum 1 (Condon and Shortley)."""
    m = k + q
    if j_above == j + 1:
        if q == 0:
            return math.sqrt((j - m + 1) * (j + m + 1) / ((2 * j + 1) * (j + 1)))
        return math.sqrt((j + q * m) * (j + q * m + 1) / ((2 * j + 1) * (2 * j + 2)))
    if j_above == j:
        if j == 0:
            return 0.0
        if q == 0:
            return m / math.sqrt(j * (j + 1))
        return -q * math.sqrt((j + q * m) * (j - q * m + 1) / (2 * j * (j + 1)))
    if q == 0:
        return -math.sqrt((j - m) * (j + m) / (j * (2 * j + 1)))
    return math.sqrt((j - q * m) * (j - q * m + 1) / (2 * j * (2 * j + 1)))
