"""Infrared lines of the two gases in air that absorb most: water and carbon dioxide."""

import functools
import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from molspectra.spectra.augment.asymmetric_rotor import BOLTZMANN, Constants, band

TEMPERATURE = 296.0  # K


@functools.cache
def water_lines() -> tuple[Float64[Tensor, " lines"], Float64[Tensor, " lines"]]:
    """Return positions in cm^-1 and relative strengths of the bands ν2 (1400 to 1900) and ν3 (3500 to 3950 cm^-1).

    Water is taken as a rigid asymmetric rotor with the rotational constants of each vibrational state (G. Herzberg,
    Infrared and Raman Spectra (1945), chapter IV). Without centrifugal distortion the strong lines are right to 1 cm^-1
    and those of high J to some cm^-1. ν1, which is 15 times weaker than ν3, is left out.
    """
    ground = Constants(27.88, 14.52, 9.28)
    bend = band(1594.75, ground, Constants(31.08, 14.68, 9.13), "b", TEMPERATURE, max_j=11)
    stretch = band(3755.93, ground, Constants(26.65, 14.42, 9.10), "a", TEMPERATURE, max_j=11)
    # Strengths of whole bands, in 10^-18 cm per molecule.
    positions, strengths = torch.cat([bend[0], stretch[0]]), torch.cat([10.4 * bend[1], 7.2 * stretch[1]])
    shown = strengths > 1e-4 * strengths.max()  # most are forbidden, or start from levels that are empty
    return positions[shown], strengths[shown]


@functools.cache
def carbon_dioxide_lines() -> tuple[Float64[Tensor, " lines"], Float64[Tensor, " lines"]]:
    """Return positions in cm^-1 and relative strengths of the bands ν2 (667) and ν3 (2349 cm^-1).

    ν = ν₀ + (B' + B'') m + (B' - B'') m² with m = J + 1 in the branch R and m = -J in P, and ν₀ + (B' - B'') J (J + 1)
    in Q. Only even J exist, for the oxygen nuclei have no spin. Strengths are ∝ ν exp(-B'' J (J + 1) / kT) times the
    factor of Hönl and London: J + 1 (R) and J (P) of the parallel band ν3, and (J + 2) / 2, (J - 1) / 2 and
    (2J + 1) / 2 (Q) of the perpendicular band ν2.
    """
    b = 0.3902  # cm^-1, of the vibrational ground state
    j = torch.arange(0, 61, 2, dtype=torch.float64)
    population = torch.exp(-b * j * (j + 1) / (BOLTZMANN * TEMPERATURE))
    stretch = _branches(2349.14, b, 0.3871, j, population, {"R": j + 1, "P": j})
    bend = _branches(
        667.38, b, 0.3906, j, population, {"R": (j + 2) / 2, "P": (j - 1).clamp_min(0) / 2, "Q": j.sign() * (j + 0.5)}
    )
    # Strengths of whole bands, in 10^-18 cm per molecule.
    return torch.cat([stretch[0], bend[0]]), torch.cat([91.0 * stretch[1], 8.0 * bend[1]])


def _branches(
    origin: float, b: float, b_above: float, j: Tensor, population: Tensor, factors: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return positions and strengths of the branches of a linear molecule's band, whose strengths sum to 1."""
    positions, strengths = [], []
    for branch, factor in factors.items():
        m = {"R": j + 1, "P": -j, "Q": torch.zeros_like(j)}[branch]
        quadratic = j * (j + 1) if branch == "Q" else m.square()
        line = origin + (b_above + b) * m + (b_above - b) * quadratic
        positions.append(line)
        strengths.append(line * population * factor)
    strength = torch.cat(strengths)
    return torch.cat(positions), strength / strength.sum()


@functools.lru_cache(maxsize=16)
def gas_template(
    gas: str, start: float, step: float, length: int, fwhm: float, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, " length"]:
    """Return the lines of a gas on a grid in cm^-1, as Gaussians, (L,), on the scale of the gas's highest band.

    It is computed once for each grid and device, so that augmentation does not wait for a copy.
    """
    positions, strengths = water_lines() if gas == "water" else carbon_dioxide_lines()
    sigma = fwhm / math.sqrt(8 * math.log(2))

    def spectrum(points: Tensor) -> Tensor:
        return strengths @ torch.exp(-0.5 * ((points - positions[:, None]) / sigma).square())

    # The highest band is sought on the lines, not on the grid, which may lie where the gas is transparent.
    grid = start + step * torch.arange(length, dtype=torch.float64)
    return (spectrum(grid) / spectrum(positions).max()).to(device=device, dtype=dtype)
