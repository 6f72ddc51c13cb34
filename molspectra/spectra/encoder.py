"""Base of the spectrum encoders: their kinds of spectrum, missing spectra and scaling."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from molspectra.spectra.prepared import PreparedSpectra, prepare


class SpectrumEncoder(nn.Module):
    """Encoder of several kinds of spectrum, any of which may be missing.

    A subclass sets `lengths`, `scalings` and `out_norm` in its constructor, and defines `num_tokens` and `forward`.
    """

    lengths: dict[str, int]
    """Samples of each kind of spectrum, in the order of their tokens."""
    scalings: nn.ModuleDict
    """Kind → module that scales the intensities."""
    out_norm: nn.LayerNorm
    """Last layer, whose dtype is that of the encoder."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of spectrum, in the order of their tokens."""
        return tuple(self.lengths)

    @property
    def num_tokens(self) -> dict[str, int]:
        """Number of tokens of each kind."""
        raise NotImplementedError(f"{type(self).__name__} must define num_tokens.")

    def prepare(self, spectra: Mapping[str, Tensor] | PreparedSpectra) -> PreparedSpectra:
        """Check spectra, add absent kinds as missing spectra, and scale all of them.

        Args:
            spectra: Kind → intensities (B, L_kind), a row of NaN for a missing spectrum. Prepared spectra are returned
                as they are, so that a step that needs them more than once scales them once.

        Returns:
            Scaled spectra of every kind, which `forward` and :class:`~molspectra.spectra.PatchMask` accept.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a row mixes NaN or infinite
                values with finite ones.
            TypeError: a dtype differs from that of the weights.
        """
        return prepare(spectra, self.lengths, self.scalings, self.out_norm.weight)

    def split(self, tokens: Float[Tensor, "batch tokens channels"]) -> dict[str, Tensor]:
        """Split tokens (B, n, D) by kind: kind → (B, n_kind, D)."""
        return dict(zip(self.kinds, tokens.split(list(self.num_tokens.values()), dim=1), strict=True))
