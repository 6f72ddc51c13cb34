"""Sticks of a molecule, positions and intensities of its lines, and the spectra that they broaden to."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_choice, check_sizes
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.invariants import invariants
from molspectra.heads.pooling import check_data
from molspectra.layers.plain_linear import is_plain_linear
from molspectra.spectra.axis import SpectrumAxis, check_axis
from molspectra.spectra.sticks import Sticks


class StickHead(Configurable, nn.Module):
    """Line spectra: every atom adds k sticks, and the spectra are their broadened sums.

    Atom i gives positions x_ij = c_j + w_j u_ij and, for each kind, intensities I_ij = a_j softplus(v_ij), with (u, v)
    from an MLP of s_i + |v_i| + |t_i|. With three sticks per atom a molecule of N atoms has 3N, as it has 3N modes with
    its translations and rotations. With one per atom it has N, as the shifts of its nuclei. The sticks are a set: their
    order follows the atoms and means nothing. Kinds share the positions, so they must be of the same transitions, such
    as infrared and Raman spectra. Use another head for electronic transitions.

    As `head(atoms, data)` it gives the spectra and takes the place of :class:`~molspectra.heads.SpectrumHead` in
    :class:`~molspectra.methods.SpectrumPrediction`. :meth:`sticks` gives the lines themselves.

    Call :meth:`start_from` with training sticks first. It sets c, w and a.

    Args:
        channels: Width F of the atom features.
        axes: Axis of each kind of spectrum, all in one unit.
        fwhm: Full width at half maximum of the lines, in the unit of the axes, for all kinds or per kind.
        shape: "lorentzian" or "gaussian", for all kinds or per kind.
        sticks_per_atom: Sticks k of each atom.
        hidden_channels: Width of the MLP. Default: 2 F.

    Raises:
        ValueError: No kind is given, the units of the axes differ, a size or width is not positive, a shape is unknown,
            or the kinds of `fwhm` or `shape` differ from those of `axes`.
        TypeError: An axis is no SpectrumAxis.

    Example:
        >>> encoder = ms.encoders.PaiNN(32, num_layers=2)
        >>> head = ms.heads.StickHead(32, {"ir": ms.data.IR, "raman": ms.data.RAMAN}, fwhm=16.0)
        >>> water = encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))
        >>> head(water)["ir"].shape, head.sticks(water).positions.shape
        (torch.Size([1, 3501]), torch.Size([9]))
    """

    units: Tensor
    centers: Tensor
    width: Tensor

    def __init__(
        self,
        channels: int,
        axes: Mapping[str, SpectrumAxis],
        fwhm: float | Mapping[str, float],
        shape: str | Mapping[str, str] = "lorentzian",
        sticks_per_atom: int = 3,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        _check_axes(axes)
        hidden = 2 * channels if hidden_channels is None else hidden_channels
        check_sizes(channels=channels, sticks_per_atom=sticks_per_atom, hidden_channels=hidden)
        self.channels = channels
        self.axes = dict(axes)
        self.fwhm = _for_each("fwhm", axes, fwhm)
        self.shape = _for_each("shape", axes, shape)
        for kind in axes:
            check_choice(f"shape of {kind!r}", self.shape[kind], ("gaussian", "lorentzian"))
            if not 0 < self.fwhm[kind] < math.inf:
                raise ValueError(f"fwhm of {kind!r} must be positive and finite; got {self.fwhm[kind]}.")
        self.sticks_per_atom = sticks_per_atom
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.linear = nn.Linear(hidden, sticks_per_atom * (1 + len(axes)))
        low, high = min(axis.start for axis in axes.values()), max(axis.stop for axis in axes.values())
        share = (torch.arange(sticks_per_atom, dtype=torch.get_default_dtype()) + 0.5) / sticks_per_atom
        self.register_buffer("centers", low + (high - low) * share)
        self.register_buffer("width", torch.full_like(share, (high - low) / (2 * sticks_per_atom)))
        self.register_buffer("units", torch.ones(sticks_per_atom, len(axes), dtype=share.dtype))

    @property
    def lengths(self) -> dict[str, int]:
        """Samples of each kind of spectrum."""
        return {kind: axis.length for kind, axis in self.axes.items()}

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> dict[str, Float[Tensor, "molecules _"]]:
        """Predict kind → intensities (B, L), in intensity per unit of the axis. `data` gives the molecules."""
        return self.broaden(self.sticks(atoms, data))

    def broaden(self, sticks: Sticks) -> dict[str, Float[Tensor, "molecules _"]]:
        """Broaden sticks to the spectra of this head, kind → (B, L)."""
        return sticks.broaden(self.axes, self.fwhm, self.shape)

    def sticks(self, atoms: AtomFeatures, data: Data | None = None) -> Sticks:
        """Predict the lines of each molecule. `data` gives the molecule of each atom, if several."""
        check_atoms("StickHead", atoms, self.channels)
        if data is not None:
            check_data(data, "StickHead")
        count, kinds = atoms.scalars.shape[0], len(self.axes)
        # Half precision resolves a wavenumber of 3000 cm^-1 no better than 8 cm^-1.
        with torch.autocast(atoms.scalars.device.type, enabled=False):
            hidden = self.mlp(invariants(atoms).to(self.centers.dtype))
            numbers = self.linear(hidden).view(count, self.sticks_per_atom, 1 + kinds)
            positions = self.centers + self.width * numbers[..., 0]
            intensities = F.softplus(numbers[..., 1:]) * self.units
        of_kind = intensities.flatten(0, 1).unbind(-1)
        none = data is None or data.batch is None
        molecule = torch.zeros(count, dtype=torch.int64, device=positions.device) if none else molecule_of(data)
        index = molecule.repeat_interleave(self.sticks_per_atom, output_size=count * self.sticks_per_atom)
        return Sticks(positions.flatten(), dict(zip(self.axes, of_kind, strict=True)), index, num_molecules_of(data))

    @torch.no_grad()
    def start_from(self, sticks: Float[Tensor, "sticks columns"]) -> None:
        """Take positions and intensities of training sticks, in as many parts as an atom has sticks, as the start.

        Args:
            sticks: Position and intensity of each kind, in the order of `axes`, of all training molecules, (S, 1 +
                kinds). NaN intensities are unknown.

        Raises:
            ValueError: The columns do not fit the kinds, a position is not finite, there is no stick, or a kind has no
                positive mean intensity.
        """
        if sticks.dim() != 2 or sticks.shape[1] != 1 + len(self.axes) or not sticks.shape[0]:
            raise ValueError(
                f"sticks must have the columns position, {', '.join(self.axes)}: (S, {1 + len(self.axes)}) with S ≥ 1; "
                f"got {tuple(sticks.shape)}."
            )
        positions, intensities = sticks[:, 0].to(self.centers), sticks[:, 1:].to(self.units)
        means = intensities.nanmean(dim=0)
        if not bool(positions.isfinite().all()) or not bool((means.isfinite() & (means > 0)).all()):
            raise ValueError(
                f"sticks must have finite positions and positive mean intensities; got means of {means.tolist()}, and "
                f"{int((~positions.isfinite()).sum())} positions that are not finite."
            )
        if not is_plain_linear(self.linear):
            raise ValueError("start_from sets weights of the last layer, a plain nn.Linear; call it before wrapping.")
        spread = positions.std(correction=0).clamp(min=1e-6)
        # Slot j starts as the j-th part of the sorted sticks, an empty or dark part as the mean of all of them.
        for slot, own in enumerate(positions.argsort().tensor_split(self.sticks_per_atom)):
            part = positions[own]
            self.centers[slot] = part.mean() if len(part) else positions.mean()
            self.width[slot] = part.std(correction=0) if len(part) > 1 and part.min() < part.max() else spread
            unit = intensities[own].nanmean(dim=0)
            # softplus(0) = ln 2
            self.units[slot] = torch.where(unit.isfinite() & (unit > 0), unit, means) / math.log(2)
        self.linear.weight.mul_(0.1)
        self.linear.bias.zero_()


def _check_axes(axes: Mapping[str, SpectrumAxis]) -> None:
    """Refuse axes that cannot share the positions of lines."""
    if not axes:
        raise ValueError('axes must name at least one kind, as in {"ir": ms.data.IR}; got none.')
    for kind, axis in axes.items():
        check_axis(f"axes[{kind!r}]", axis)
    units = {kind: axis.unit for kind, axis in axes.items()}
    if len(set(units.values())) > 1:
        raise ValueError(
            f"axes must have one unit, as the kinds share the positions of their lines; got {units}. Use a head for "
            "each set of transitions."
        )


def _for_each(name: str, axes: Mapping[str, SpectrumAxis], given: Any) -> dict[str, Any]:
    """Return a setting of each kind, from one for all or from one for each."""
    if isinstance(given, Mapping):
        if set(given) != set(axes):
            raise ValueError(f"{name} must have the kinds {sorted(axes)}, as axes has; got {sorted(given)}.")
        return {kind: given[kind] for kind in axes}
    return dict.fromkeys(axes, given)
