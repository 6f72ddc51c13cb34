"""SpecFormer: a transformer over patches of several spectra."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_choice, check_heads, check_peak_mask, values_are_free
from molspectra.layers.layer_norm import LayerNorm
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.encoder import SpectrumEncoder
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.kinds import axes_of, check_mixed_kinds, default_patch_len, default_stride, for_each
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.peak_tokens import PeakTokens, tokens_of_peaks
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.prepared_peaks import prepare_mixed
from molspectra.spectra.residual_attention import ResidualAttentionLayer
from molspectra.spectra.scaling import Log10Scaling
from molspectra.spectra.score_history import ScoreHistory


class SpecFormer(Configurable, SpectrumEncoder):
    """Multi-spectrum encoder of MolSpectra (Wang et al., ICLR 2025, arXiv:2502.16284, §3.2).

    Each kind of spectrum is scaled, cut into overlapping patches p and projected to tokens, t = W_kind p + b +
    position. The tokens of all kinds attend to each other through layers with residual attention. They are flattened
    (or averaged) into one embedding, LayerNorm(W [t_1 ‖ … ‖ t_n] + b).

    Kinds and lengths are free. Kinds with a :class:`PeakAxis` are lists of peaks, of any order and number. Each peak is
    a token (:class:`PeakTokens`), and these tokens come after those of patches.

    A spectrum may be missing in a sample (a row of NaN) or in a batch (the kind is not in the dict), and so may a part
    of it (some samples are NaN: the range of an instrument, a band of the solvent, a saturated peak). Tokens of patches
    with a missing sample are neither attended to, nor counted in statistics, nor part of the embedding, in training as
    in evaluation. A sample without any spectrum gets a constant embedding.

    The module is deterministic: random masks for training are an argument (see :class:`PatchMask`).

    Where nothing is missing, the results equal those of the released code up to rounding. Differences: kinds are a dict
    instead of fixed slots for UV, IR and Raman. Masks are passed in, while the release draws new ones in every forward,
    evaluation included. The attention is exact but never forms a (heads × n × n) tensor.

    Args:
        lengths: Axis of each kind of spectrum, or its number of samples. Kinds given as peaks have a
            :class:`PeakAxis`.
        patch_len: Samples in a patch, for all kinds or for each. Default: a 70th of the spectrum, but at least 20, or
            twice the stride if that is given. These are the released 20 samples of UV-Vis and 50 of IR and Raman.
        stride: Samples between patch starts, for all kinds or for each. Default: half a patch, as published.
        hidden_channels: Width D of the tokens.
        num_layers: Number of transformer layers.
        num_heads: Attention heads, a divisor of `hidden_channels`.
        out_channels: Width F of the embedding.
        feedforward_channels: Width of the feed-forward layers, by default twice `hidden_channels`.
        scaling: Module that scales the intensities, for all kinds or for each, by default log10(1 + s), and s / max s
            for peaks.
        pool: "flatten" (as published), in which the mean of its tokens stands for a list of peaks, or "mean" over the
            valid tokens.
        norm: "batch" (as published) or "layer".
        dropout: Dropout rate in the layers.

    Raises:
        ValueError: the sizes do not fit each other.

    Example:
        >>> specformer = SpecFormer({"uv_vis": 601, "ir": ms.data.IR}, {"uv_vis": 20, "ir": 50})
        >>> specformer({"uv_vis": torch.rand(2, 601), "ir": torch.rand(2, 3501)}).embedding.shape
        torch.Size([2, 256])
        >>> specformer(Batch.from_data_list(ms.data.MiniSpectra()[:4])).embedding.shape
        torch.Size([4, 256])
    """

    def __init__(
        self,
        lengths: Mapping[str, int | SpectrumAxis | PeakAxis],
        patch_len: int | Mapping[str, int] | None = None,
        stride: int | Mapping[str, int] | None = None,
        hidden_channels: int = 256,
        num_layers: int = 3,
        num_heads: int = 16,
        out_channels: int = 256,
        *,
        feedforward_channels: int | None = None,
        scaling: nn.Module | Mapping[str, nn.Module] | None = None,
        pool: Literal["flatten", "mean"] = "flatten",
        norm: Literal["batch", "layer"] = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kinds, peak_axes = check_mixed_kinds(lengths)
        check_heads(hidden_channels, num_heads)
        check_choice("pool", pool, ("flatten", "mean"))
        check_choice("norm", norm, ("batch", "layer"))
        strides, patch_lens = for_each(kinds, "stride", stride), for_each(kinds, "patch_len", patch_len)
        for kind, length in kinds.items():
            if patch_lens[kind] is None:
                patch_lens[kind] = default_patch_len(length, strides[kind])
            if strides[kind] is None:
                strides[kind] = default_stride(patch_lens[kind])
        if scaling is None:
            # Intensities span orders of magnitude: in a logarithm, weak bands count beside strong ones. Those of peaks
            # are relative to the strongest, as mass spectra and tables of shifts give them.
            scaling = {kind: PerSpectrumScaling("max") if kind in peak_axes else Log10Scaling() for kind in lengths}
        scalings = for_each([*kinds, *peak_axes], "scaling", scaling)

        self.lengths = kinds
        self.axes = axes_of(lengths)
        self.peak_axes = peak_axes
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.pool = pool
        # Dot products of queries and keys grow with the root of their width, which would saturate the softmax.
        self.scale = (hidden_channels // num_heads) ** -0.5
        self.patchers = {kind: SpectrumPatcher(kinds[kind], patch_lens[kind], strides[kind]) for kind in kinds}
        self.scalings = nn.ModuleDict(scalings)
        # A projection per kind: patches of different spectra have different lengths, units and line widths.
        self.patch_proj = nn.ModuleDict({kind: nn.Linear(patch_lens[kind], hidden_channels) for kind in kinds})
        self.peak_tokens = nn.ModuleDict({kind: PeakTokens(axis, hidden_channels) for kind, axis in peak_axes.items()})
        # Learned positions tell tokens apart by kind and by energy. Attention itself does not know their order.
        self.positions = nn.ParameterDict(
            {kind: nn.Parameter(torch.empty(n, hidden_channels)) for kind, n in self.num_patches.items()}
        )
        self.layers = nn.ModuleList(
            ResidualAttentionLayer(
                hidden_channels, num_heads, feedforward_channels or 2 * hidden_channels, dropout, norm
            )
            for _ in range(num_layers)
        )
        num_tokens = sum(self.num_patches.values()) + len(peak_axes)
        self.out_proj = nn.Linear(hidden_channels * (num_tokens if pool == "flatten" else 1), out_channels)
        self.out_norm = LayerNorm(out_channels)
        # Small beside the projected patches, so that intensities dominate the tokens at first.
        for position in self.positions.values():
            nn.init.uniform_(position, -0.02, 0.02)

    @classmethod
    def paper(cls, out_channels: int = 256) -> "SpecFormer":
        """Return the paper's configuration: width 256, UV-Vis of 601, IR and Raman of 3501 samples, patches 20/10."""
        return cls({"uv_vis": 601, "ir": 3501, "raman": 3501}, 20, 10, out_channels=out_channels)

    @classmethod
    def released(cls, out_channels: int = 256) -> "SpecFormer":
        """Return the released one: width 128, UV-Vis of 701 (patches 20/10), IR and Raman of 3501 samples (50/25)."""
        return cls(
            {"uv_vis": 701, "ir": 3501, "raman": 3501},
            {"uv_vis": 20, "ir": 50, "raman": 50},
            {"uv_vis": 10, "ir": 25, "raman": 25},
            hidden_channels=128,
            out_channels=out_channels,
        )

    @property
    def num_patches(self) -> dict[str, int]:
        """Number of patches, and therefore of tokens, of each kind."""
        return {kind: patcher.num_patches for kind, patcher in self.patchers.items()}

    @property
    def num_tokens(self) -> dict[str, int]:
        """Number of tokens of each kind, one per patch."""
        return self.num_patches

    @property
    def token_samples(self) -> dict[str, Float[Tensor, " tokens"]]:
        """Center of the patch of each token, in samples."""
        return {kind: patcher.centers for kind, patcher in self.patchers.items()}

    def forward(
        self,
        spectra: Mapping[str, Tensor] | Data | PreparedSpectra,
        masked: Mapping[str, Tensor] | None = None,
        *,
        return_attention: bool = False,
    ) -> SpectrumFeatures:
        """Encode a batch of spectra.

        Args:
            spectra: Kind → intensities (B, L_kind), NaN where nothing was measured, or peaks (B, K, d + 1), padded with
                NaN, and precursors (B, 1) by the names of their fields, or molecules (a Data or Batch) with these
                fields, or spectra that `prepare` has scaled.
            masked: Kind → the hidden part, True where hidden: (B, L) over samples, set to 0 before patching, or (B, n)
                over patches, set to 0 after patching (see :class:`PatchMask`). Zeros are put in after scaling. Over
                peaks it is (B, K) (see :class:`PeakMask`).
            return_attention: Return the attention maps as well. Memory grows with the square of the token number.

        Returns:
            Tokens (B, n, D), embedding (B, F), valid tokens (B, n) and the attention maps.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a value is infinite, or a
                spectrum with gaps has no complete patch.
            TypeError: a dtype differs from that of the weights, or a mask is not bool.
        """
        with record_function("molspectra::specformer.patching"):
            prepared = self.prepare(spectra)
            tokens, valid = self.tokenize(prepared, masked)
        history = ScoreHistory(valid, self.scale)
        attention = []
        for layer in self.layers:
            with record_function("molspectra::specformer.attention_layer"):
                tokens = layer(tokens, history)
            if return_attention:
                attention.append(history.attention_map())
        with record_function("molspectra::specformer.embedding"):
            # Under autocast the projection comes in half precision. The norm's mean and variance need the full one.
            embedding = self.out_norm(self.out_proj(self._pool(tokens, valid, prepared)).to(tokens.dtype))
        return SpectrumFeatures(tokens, embedding, valid, tuple(attention) if return_attention else None)

    def tokenize(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra, masked: Mapping[str, Tensor] | None = None
    ) -> tuple[Float[Tensor, "batch tokens channels"], Bool[Tensor, "batch tokens"]]:
        """Return the tokens that enter the first layer, (B, n, D), and which of them are valid, (B, n)."""
        prepared, masked = self.prepare(spectra), masked or {}
        if unknown := set(masked) - set(self.kinds):
            raise ValueError(f"masked has the unknown kinds {sorted(unknown)}; expected some of {list(self.kinds)}.")
        tokens, valid = [], []
        for kind in self.lengths:  # not self.positions: a ParameterDict sorts its keys
            patches = self._masked_patches(kind, prepared.scaled[kind], masked.get(kind))
            tokens.append(self.patch_proj[kind](patches) + self.positions[kind])
            valid.append(self.patchers[kind].complete(prepared.measured[kind]))
        for kind, axis in self.peak_axes.items():
            peaks, present, hidden = prepared.scaled[kind], prepared.measured[kind], masked.get(kind)
            check_peak_mask(kind, hidden, present)
            precursor = prepared.scaled.get(axis.precursor or "")
            of_kind, known = self.peak_tokens[kind](peaks, present, hidden, precursor)
            tokens.append(of_kind)
            valid.append(known)
        return torch.cat(tokens, dim=1), torch.cat(valid, dim=1)

    def count_tokens(self, prepared: PreparedSpectra) -> dict[str, int]:
        """Return the number of tokens of each kind, which for peaks depends on the longest list of the batch."""
        lists = {kind: prepared.scaled[kind].shape[1] for kind in self.peak_axes}
        return self.num_tokens | {kind: tokens_of_peaks(self.peak_axes[kind], peaks) for kind, peaks in lists.items()}

    def patches(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra
    ) -> dict[str, Float[Tensor, "batch patches patch_len"]]:
        """Return the scaled, unmasked patches of each kind, (B, n, P), the target of reconstruction, 0 in gaps.

        Patches of prepared spectra are views and take no memory.
        """
        scaled = self.prepare(spectra).scaled
        return {kind: patcher(scaled[kind]) for kind, patcher in self.patchers.items()}

    def prepare(self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra) -> PreparedSpectra:
        """Check spectra, add absent kinds as missing spectra, and scale all of them (see the base class).

        Spectra may have gaps: samples of NaN, which were not measured.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a value is infinite, or a
                spectrum with gaps has no complete patch.
            TypeError: a dtype differs from that of the weights.
        """
        if isinstance(spectra, PreparedSpectra):
            return spectra
        like = next(self.out_norm.parameters())
        prepared = prepare_mixed(spectra, self.lengths, self.peak_axes, self.scalings, like)
        for kind in self.lengths:
            measured = prepared.measured[kind]
            if values_are_free(measured) and not bool(measured.all()):
                self._check_gaps(kind, measured)
        return prepared

    def extra_repr(self) -> str:
        """Return the kinds of spectrum and their patches, for printing."""
        return ", ".join(f"{kind}: {patcher!r}" for kind, patcher in self.patchers.items())

    def _check_gaps(self, kind: str, measured: Tensor) -> None:
        """Refuse spectra of which no token would be left, in spite of what was measured.

        Raises:
            ValueError: there is one.
        """
        patcher = self.patchers[kind]
        lost = measured.any(dim=1) & ~patcher.complete(measured).any(dim=1)
        if bool(lost.any()):
            row = int(lost.nonzero()[0])
            raise ValueError(
                f"spectra[{kind!r}] row {row} has {int(measured[row].sum())} samples between gaps of NaN, and no "
                f"complete patch of {patcher.patch_len} samples, so that nothing of it would be read. Fill short "
                "gaps with molspectra.data.resample from the grid of the measurement, or set the whole row to NaN."
            )

    def _masked_patches(self, kind: str, scaled: Tensor, masked: Tensor | None) -> Tensor:
        """Return the patches of one kind, (B, n, P), the hidden part 0."""
        patcher = self.patchers[kind]
        if masked is None:
            return patcher(scaled)
        if masked.dtype != torch.bool:
            raise TypeError(f"masked[{kind!r}] must be bool, True where hidden; got {masked.dtype}.")
        if masked.shape == scaled.shape:
            # Hidden before patching, a sample is hidden in both of the overlapping patches that contain it.
            return patcher(scaled.masked_fill(masked, 0.0))
        if masked.shape == (scaled.shape[0], patcher.num_patches):
            # As released: the samples of a hidden patch stay visible in the patches that overlap it.
            return patcher(scaled).masked_fill(masked.unsqueeze(-1), 0.0)
        raise ValueError(
            f"masked[{kind!r}] must have shape {tuple(scaled.shape)} (over samples) or "
            f"{(scaled.shape[0], patcher.num_patches)} (over patches); got {tuple(masked.shape)}."
        )

    def _pool(self, tokens: Tensor, valid: Tensor, prepared: PreparedSpectra) -> Tensor:
        """Return one vector per sample, (B, n D) or (B, D), from the valid tokens alone."""
        if self.pool == "mean":
            return _mean(tokens, valid)
        # Each token keeps its own weights in the output: which band absorbs matters, and not only how strongly.
        first = sum(self.num_patches.values())
        pooled = [tokens[:, :first].masked_fill(~valid[:, :first].unsqueeze(-1), 0.0).flatten(1)]
        # Peaks have no order by which they could be told apart: their mean stands for them, at a place of its own.
        counts = self.count_tokens(prepared)
        for kind in self.peak_axes:
            last = first + counts[kind]
            pooled.append(_mean(tokens[:, first:last], valid[:, first:last]))
            first = last
        return torch.cat(pooled, dim=1)


def _mean(tokens: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of the valid tokens, (B, D), 0 if there is none."""
    total = tokens.masked_fill(~valid.unsqueeze(-1), 0.0).sum(dim=1)
    return total / valid.sum(dim=1, keepdim=True).clamp(min=1)
