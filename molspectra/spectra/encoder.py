"""Base of the spectrum encoders: their kinds of spectrum, missing spectra and scaling."""

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.prepared import PreparedSpectra, prepare


class SpectrumEncoder(nn.Module):
    """Encoder of several kinds of spectrum, any of which may be missing.

    A subclass sets `lengths`, `axes`, `scalings` and `out_norm` in its constructor, and defines `num_tokens`,
    `token_samples` and `forward`.
    """

    lengths: dict[str, int]
    """Samples of each kind of spectrum, in the order of their tokens."""
    axes: dict[str, SpectrumAxis]
    """Axis of each kind that was given by one."""
    peak_axes: Mapping[str, PeakAxis] = MappingProxyType({})
    """Axis of each kind that is given as peaks."""
    scalings: nn.ModuleDict
    """Kind → module that scales the intensities."""
    out_norm: nn.LayerNorm
    """Last layer, whose dtype is that of the encoder."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of spectrum, in the order of their tokens: those on grids, then those given as peaks."""
        return (*self.lengths, *self.peak_axes)

    @property
    def num_tokens(self) -> dict[str, int]:
        """Number of tokens of each kind."""
        raise NotImplementedError(f"{type(self).__name__} must define num_tokens.")

    @property
    def token_samples(self) -> dict[str, Float[Tensor, " tokens"]]:
        """Place of each token on the axis of its kind, in samples, (n_kind,) float64 on the CPU."""
        raise NotImplementedError(f"{type(self).__name__} must define token_samples.")

    def token_positions(self, axes: Mapping[str, SpectrumAxis] | None = None) -> dict[str, Float[Tensor, " tokens"]]:
        """Return the place of each token in units of its axis (eV, cm⁻¹, ppm): kind → (n_kind,) float64 on the CPU.

        Args:
            axes: Axis of each kind, for an encoder that was built with numbers of samples. Default: its own axes.

        Raises:
            ValueError: the axis of a kind is not known, or has another length.

        Example:
            >>> specformer = ms.spectra.SpecFormer({"ir": ms.data.IR}, patch_len=50, stride=25)
            >>> specformer.token_positions()["ir"][:3].tolist()
            [524.5, 549.5, 574.5]
        """
        axes = self.axes if axes is None else axes
        positions = {}
        for kind, samples in self.token_samples.items():
            if kind not in axes:
                raise ValueError(
                    f"The axis of {kind!r} is not known: build {type(self).__name__} with axes, as in "
                    f"{{{kind!r}: axis}}, or pass token_positions(axes={{{kind!r}: axis}}). Got axes of {list(axes)}."
                )
            axis = axes[kind]
            if axis.length != self.lengths[kind]:
                raise ValueError(
                    f"The axis of {kind!r} must have {self.lengths[kind]} samples; got {axis.length} samples of "
                    f"{axis.name!r}."
                )
            positions[kind] = axis.start + axis.step * samples
        return positions

    def prepare(self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra) -> PreparedSpectra:
        """Check spectra, add absent kinds as missing spectra, and scale all of them.

        Args:
            spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum, or molecules with these
                fields. Prepared spectra are returned as they are, so that a step that needs them more than once scales
                them once.

        Returns:
            Scaled spectra of every kind, which `forward` and :class:`~molspectra.spectra.PatchMask` accept.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a row mixes NaN or infinite
                values with finite ones.
            TypeError: a dtype differs from that of the weights.
        """
        return prepare(spectra, self.lengths, self.scalings, next(self.out_norm.parameters()))

    def count_tokens(self, prepared: PreparedSpectra) -> dict[str, int]:
        """Return the number of tokens of each kind, for prepared spectra."""
        return self.num_tokens

    def split(
        self, tokens: Float[Tensor, "batch tokens channels"], prepared: PreparedSpectra | None = None
    ) -> dict[str, Tensor]:
        """Split tokens (B, n, D) by kind: kind → (B, n_kind, D).

        Args:
            tokens: Tokens of a batch.
            prepared: The spectra that they come from, as `prepare` returns them. Kinds given as peaks need them, since
                the number of peaks differs from batch to batch, and so do spectra on other axes than the encoder's.

        Raises:
            ValueError: there are kinds given as peaks, and no prepared spectra, or the number of tokens is another one.
        """
        if prepared is None and self.peak_axes:
            raise ValueError(
                f"split needs the prepared spectra for the peaks of {list(self.peak_axes)}, whose number differs from "
                f"batch to batch. Pass prepared={type(self).__name__.lower()}.prepare(spectra)."
            )
        counts = self.num_tokens if prepared is None else self.count_tokens(prepared)
        sizes = [counts[kind] for kind in self.kinds]
        if tokens.shape[1] != sum(sizes):
            raise ValueError(
                f"tokens must be {sum(sizes)}, {counts}; got {tokens.shape[1]}. Pass split(tokens, prepared) with the "
                "spectra that they come from."
            )
        return dict(zip(self.kinds, tokens.split(sizes, dim=1), strict=True))
