"""Broadened spectra of a molecule from features of any encoder."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import unwrap
from molspectra._validation import check_sizes, check_spectra, lengths_of
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.invariants import invariants
from molspectra.heads.pooling import pool_atoms
from molspectra.layers.plain_linear import is_plain_linear


class SpectrumHead(Configurable, nn.Module):
    """Spectrum S(x) = u Σ_i Σ_k a_ik b_k(x): every atom adds intensity to bands that cover the axis.

    a_i = softplus(W MLP(s_i + |v_i| + |t_i|)) are the amplitudes of atom i, b_k evenly spaced Gaussians that add up to
    1, and u is the unit of intensity. The spectrum is smooth and never negative, and the spectra of two distant
    molecules add, as intensities do. Degrees that an encoder lacks are left out of the input of the MLP, as in
    :class:`~molspectra.heads.MoleculePooling`.

    Call :meth:`start_from` with the training spectra first. It sets u, and a bias that makes the untrained prediction
    the mean spectrum, in proportion to the number of atoms.

    Args:
        channels: Width F of the atom features.
        lengths: Axis of each kind of spectrum, or its number L of samples.
        spacing: Samples between the centers of neighboring bands, for all kinds or per kind. A spacing of half the
            full width at half maximum reproduces a line within 7 %, and of the full width within 25 %. Few training
            spectra are learned as well, or better, with fewer bands. At 16, a spectrum of 3501 samples has 220.
        hidden_channels: Width of the MLP. Default: 2 F.

    Raises:
        ValueError: No kind is given, a size is not positive, or the kinds of `spacing` differ.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> head = ms.heads.SpectrumHead(32, {"uv_vis": 601, "ir": 3501})
        >>> spectra = head(encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)))
        >>> {kind: tuple(spectrum.shape) for kind, spectrum in spectra.items()}
        {'uv_vis': (1, 601), 'ir': (1, 3501)}
    """

    def __init__(
        self,
        channels: int,
        lengths: Mapping[str, Any],
        spacing: float | Mapping[str, float] = 16,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        counted = lengths_of(lengths)
        if isinstance(spacing, Mapping) and set(spacing) != set(counted):
            raise ValueError(f"spacing must have the kinds {sorted(counted)}, as lengths has; got {sorted(spacing)}.")
        hidden = 2 * channels if hidden_channels is None else hidden_channels
        check_sizes(channels=channels, hidden_channels=hidden)
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        spacings = spacing if isinstance(spacing, Mapping) else dict.fromkeys(counted, spacing)
        self._lengths = counted
        self.bands = nn.ModuleDict({kind: _Bands(hidden, length, spacings[kind]) for kind, length in counted.items()})

    @property
    def lengths(self) -> dict[str, int]:
        """Samples of each kind of spectrum."""
        return dict(self._lengths)

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> dict[str, Float[Tensor, "molecules _"]]:
        """Predict kind → intensities (B, L), in the units of `start_from`. `data` gives the molecule of each atom."""
        check_atoms("SpectrumHead", atoms, self.channels)
        hidden = self.mlp(invariants(atoms))
        return {kind: bands(hidden, data) for kind, bands in self.bands.items()}

    @torch.no_grad()
    def start_from(self, spectra: Mapping[str, Tensor], num_atoms: Int[Tensor, " molecules"]) -> None:
        """Initialize the prediction as the mean spectrum per atom times the number of atoms, up to the bands.

        Args:
            spectra: Kind → intensities of the training molecules, (B, L); a row of NaN is a missing spectrum, some
                samples of NaN a gap. Kinds that are left out keep their state.
            num_atoms: Atoms of each of these molecules, (B,).

        Raises:
            ValueError: The spectra do not fit the head, or all spectra of a kind are missing or 0, or a linear layer of
                the head is wrapped, quantized or parametrized.
        """
        check_spectra(spectra, self.lengths, partial=True)
        for kind, of_kind in spectra.items():
            measured = ~of_kind.isnan()
            total = of_kind.nan_to_num(0.0).sum(dim=0)
            if not bool((total > 0).any()):
                count = int(measured.any(dim=1).sum())
                raise ValueError(f"spectra[{kind!r}] must hold an intensity above 0; got {count} spectra.")
            atoms = (measured * num_atoms.unsqueeze(1)).sum(dim=0)  # in the molecules that were measured there
            per_atom = total / atoms.clamp(min=1)
            # Where nothing was measured, the mean is the best guess.
            per_atom = torch.where(atoms > 0, per_atom, per_atom[atoms > 0].mean())
            bands: Any = unwrap(self.bands[kind])
            bands.start_from(per_atom, kind)


class _Bands(nn.Module):
    """Bands of one kind of spectrum, and their amplitudes per atom."""

    basis: Tensor
    unit: Tensor

    def __init__(self, channels: int, length: int, spacing: float) -> None:
        super().__init__()
        check_sizes(length=length)
        if not 0 < spacing < math.inf:
            raise ValueError(f"spacing must be positive and finite (samples); got {spacing}.")
        self.register_buffer("basis", gaussian_bands(length, spacing), persistent=False)
        self.register_buffer("unit", torch.ones(()))
        self.linear = nn.Linear(channels, self.basis.shape[0])

    def forward(self, hidden: Float[Tensor, "atoms channels"], data: Data | None) -> Float[Tensor, "molecules length"]:
        # Absorption and scattering intensities are positive, and so is softplus.
        amplitudes = F.softplus(self.linear(hidden))
        with torch.autocast(hidden.device.type, enabled=False):
            # Pool before expanding: a row of amplitudes per molecule instead of a spectrum per atom.
            return self.unit * (pool_atoms(amplitudes.to(self.basis.dtype), data) @ self.basis)

    def start_from(self, spectrum: Float[Tensor, " length"], kind: str) -> None:
        """Set unit and bias to the spectrum of one atom, and shrink the weights, so that the bias dominates."""
        if not is_plain_linear(self.linear):
            raise ValueError(
                f"start_from sets the weights of the last layer, which must be a plain nn.Linear; got a "
                f"{type(self.linear).__name__} that is wrapped, parametrized or hooked. Call start_from before that."
            )
        # Mean of the spectrum under each band.
        amplitudes = self.basis @ spectrum.to(self.basis) / self.basis.sum(dim=1)
        if not bool(amplitudes.mean() > 0):
            raise ValueError(
                f"spectra[{kind!r}] must be positive in the mean, as intensities are; got a mean of "
                f"{float(amplitudes.mean()):.3g} per atom. Subtract the baseline, not the mean."
            )
        self.unit.copy_(amplitudes.mean())
        # Inverse of softplus. Empty bands start low, but not so low that the slope of softplus vanishes.
        relative = (amplitudes / self.unit).clamp(min=1e-2)
        self.linear.bias.copy_(relative + torch.log(-torch.expm1(-relative)))
        self.linear.weight.mul_(0.1)


def gaussian_bands(length: int, spacing: float) -> Float[Tensor, "bands length"]:
    """Make Gaussians over an axis, about `spacing` samples apart, that add up to 1 at every sample."""
    count = max(2, round((length - 1) / spacing) + 1)
    samples = torch.arange(length, dtype=torch.float64)
    centers = torch.linspace(0, length - 1, count, dtype=torch.float64)
    # 0.8 spacings is about the least width at which Gaussians add up to a constant without normalization.
    width = 0.8 * max(length - 1, 1) / (count - 1)
    bands = torch.exp(-0.5 * ((samples - centers.unsqueeze(1)) / width).square())
    return (bands / bands.sum(dim=0)).to(torch.get_default_dtype())
