"""Broadening of calculated lines (sticks) to spectra."""

import math
import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from molspectra._transforms import is_transformed
from molspectra._validation import check_choice, check_tensor, values_are_free
from molspectra.spectra.axis import SpectrumAxis, check_axis

# Values of the line-shape matrix (sticks × samples) formed at a time: 32 MB in float64, forward and backward.
_VALUES_AT_ONCE = 1 << 22


def broaden(
    positions: Float[Tensor, " sticks"],
    intensities: Float[Tensor, " sticks"],
    axis: SpectrumAxis,
    fwhm: float | Float[Tensor, " sticks"],
    shape: str = "gaussian",
    index: Int[Tensor, " sticks"] | None = None,
    num_spectra: int | None = None,
) -> Float[Tensor, "spectra length"]:
    """Sum line shapes of unit area into spectra: s(x) = Σ_k I_k g(x - x_k).

    Gaussian: g(d) = exp(-d²/2σ²) / (σ√2π) with σ = fwhm / 2√(2 ln 2). Lorentzian: g(d) = γ / π(d² + γ²) with
    γ = fwhm / 2. The integral of a spectrum is therefore the sum of its intensities, except for the part beyond the
    ends of the axis. For a Lorentzian that part falls only as 1/distance. Lines beyond the ends contribute their tails.

    Memory is that of the result plus a bounded amount, in the backward pass too. The result is differentiable in
    positions and intensities, and in widths given as a tensor.

    Args:
        positions: Line positions x_k, in the unit of `axis`, (K,) float32 or float64.
        intensities: Line intensities I_k, (K,), of either sign.
        axis: Grid of the spectra.
        fwhm: Full width at half maximum, in the unit of `axis`, of all lines or of each, (K,) of their dtype.
        shape: "gaussian" or "lorentzian".
        index: Spectrum each line belongs to, (K,) int64, in any order. By default all lines belong to one spectrum.
        num_spectra: Number of spectra M, by default the largest index + 1. Spectra without lines are zero.

    Returns:
        The spectra, (M, L), in units of intensity per unit of `axis`.

    Warns:
        UserWarning: fwhm, given as a number, < step of the axis. A line then falls between the samples, or on one with
            more than its area.

    Raises:
        TypeError: the lines are not tensors of float32 or float64, or `axis` is no SpectrumAxis.
        ValueError: an argument is out of range, or (checked for CPU tensors) a line is not finite.

    Example:
        >>> spectrum = broaden(torch.tensor([20.0]), torch.tensor([3.0]), SpectrumAxis("nmr", 0, 40, 1, "ppm"), fwhm=5)
        >>> spectrum.shape, round(float(spectrum.sum()), 4)  # step 1: the sum is the integral
        (torch.Size([1, 41]), 3.0)
    """
    check_axis("axis", axis)
    check_tensor("positions", positions)
    check_tensor("intensities", intensities)
    check_choice("shape", shape, ("gaussian", "lorentzian"))
    if isinstance(fwhm, Tensor) and fwhm.dim() == 0:
        fwhm = float(fwhm)
    if isinstance(fwhm, Tensor):
        _check_widths(fwhm, positions, axis)
    elif not (fwhm > 0 and math.isfinite(fwhm)):
        raise ValueError(f"fwhm must be positive and finite ({axis.unit}); got {fwhm}.")
    elif fwhm < axis.step:
        warnings.warn(
            f"fwhm must be at least the step of the axis for samples to show a line as it is; got {fwhm:g} for a step "
            f"of {axis.step:g} {axis.unit}. Heights and areas are wrong. Take a finer axis and average it with "
            "molspectra.data.resample(..., conserve_area=True), or bin a list of peaks with "
            "molspectra.data.read_peak_list.",
            stacklevel=2,
        )
    index, num_spectra = _check_sticks(positions, intensities, index, num_spectra)
    # All lines count everywhere, as tails are not cut off: blocks of samples bound the memory of the line shapes.
    samples_at_once = max(1, _VALUES_AT_ONCE // max(1, positions.shape[0]))
    blocks = axis.grid.to(positions).split(samples_at_once)
    widths = fwhm[:, None] if isinstance(fwhm, Tensor) else float(fwhm)
    columns = []
    for grid in blocks:
        arguments = (positions, intensities, index, num_spectra, grid, widths, shape)
        if len(blocks) > 1 and torch.is_grad_enabled() and not is_transformed():
            # Recompute the block in the backward pass: to keep all of them would take (sticks × samples) memory.
            columns.append(checkpoint(_sum_of_lines, *arguments, use_reentrant=False))
        else:
            columns.append(_sum_of_lines(*arguments))
    return torch.cat(columns, dim=1)


def _sum_of_lines(
    positions: Tensor,
    intensities: Tensor,
    index: Tensor,
    num_spectra: int,
    grid: Tensor,
    fwhm: float | Tensor,
    shape: str,
) -> Tensor:
    """Return the spectra on a part of the grid, (M, l), from the shape of each line there, (K, l).

    `fwhm` is one number or the width of each line, (K, 1).
    """
    offset = grid - positions[:, None]
    if shape == "gaussian":
        # Inhomogeneous broadening: molecules in different surroundings absorb at slightly different energies.
        sigma = fwhm / math.sqrt(8 * math.log(2))
        lines = torch.exp(-0.5 * (offset / sigma).square()) * (intensities[:, None] / (sigma * math.sqrt(2 * math.pi)))
    else:
        # Lifetime broadening: the Fourier transform of the exponential decay of the excited state.
        gamma = fwhm / 2
        lines = (intensities[:, None] * (gamma / math.pi)) / (offset.square() + gamma * gamma)
    return lines.new_zeros(num_spectra, grid.shape[0]).index_add(0, index, lines)


def _check_widths(fwhm: Tensor, positions: Tensor, axis: SpectrumAxis) -> None:
    """Refuse widths that fit no lines."""
    if fwhm.shape != positions.shape or fwhm.dtype != positions.dtype:
        raise ValueError(
            f"fwhm must be a number, or have one entry per line: {positions.dtype} of shape {tuple(positions.shape)}; "
            f"got {fwhm.dtype} of shape {tuple(fwhm.shape)}."
        )
    if values_are_free(fwhm) and not bool((fwhm.isfinite() & (fwhm > 0)).all()):
        raise ValueError(f"fwhm must be positive and finite ({axis.unit}) for every line.")


def _check_sticks(
    positions: Tensor, intensities: Tensor, index: Tensor | None, num_spectra: int | None
) -> tuple[Tensor, int]:
    """Refuse lines that fit no spectrum, and fill in the defaults of `index` and `num_spectra`."""
    for name, values in (("positions", positions), ("intensities", intensities)):
        if values.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be float32 or float64; got {values.dtype}. Convert with {name}.float().")
        if values.shape != positions.shape or values.dim() != 1:
            raise ValueError(
                f"positions and intensities must have one shape (K,), one entry per line; got {tuple(positions.shape)} "
                f"and {tuple(intensities.shape)}. For many spectra concatenate the lines and pass index."
            )
        if values_are_free(values) and not bool(values.isfinite().all()):
            raise ValueError(f"{name} must be finite; line {int((~values.isfinite()).nonzero()[0])} is not. Drop it.")
    if index is None:
        if num_spectra not in (None, 1):
            raise ValueError(
                f"index must say which of the num_spectra={num_spectra} spectra each line belongs to; got None. "
                "Without index all lines make one spectrum."
            )
        return torch.zeros(positions.shape[0], dtype=torch.int64, device=positions.device), 1
    if index.shape != positions.shape or index.dtype != torch.int64:
        raise ValueError(
            f"index must be an int64 tensor of shape {tuple(positions.shape)}, one entry per line; got {index.dtype} "
            f"of shape {tuple(index.shape)}."
        )
    if num_spectra is None:
        num_spectra = int(index.max()) + 1 if index.shape[0] else 0
    if values_are_free(index) and bool(((index < 0) | (index >= num_spectra)).any()):
        raise ValueError(
            f"index must lie in 0..num_spectra - 1 = {num_spectra - 1}; got {int(index.min())} to {int(index.max())}."
        )
    return index, num_spectra
