"""SpecFormer: a transformer over patches of several spectra."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import (
    check_choice,
    check_heads,
    check_peak_mask,
    check_probability,
    check_sizes,
    check_tensors_by_kind,
    values_are_free,
)
from molspectra.layers.layer_norm import LayerNorm
from molspectra.spectra.axis import SpectrumAxis
from molspectra.spectra.axis_positions import positions_on_axes
from molspectra.spectra.features import SpectrumFeatures
from molspectra.spectra.kinds import (
    axes_of,
    check_each_size,
    check_mixed_kinds,
    default_patch_len,
    default_stride,
    for_each,
)
from molspectra.spectra.patch_encoder import PatchEncoder
from molspectra.spectra.patching import SpectrumPatcher
from molspectra.spectra.peak_axis import PeakAxis
from molspectra.spectra.peak_tokens import PeakTokens
from molspectra.spectra.per_spectrum_scaling import PerSpectrumScaling
from molspectra.spectra.prepared import PreparedSpectra
from molspectra.spectra.prepared_peaks import precursor_fields, prepare_mixed
from molspectra.spectra.regridding import regrid_all
from molspectra.spectra.residual_attention import ResidualAttentionLayer
from molspectra.spectra.scaling import Log10Scaling
from molspectra.spectra.score_history import ScoreHistory
from molspectra.spectra.token_pooling import POOLS, TokenPooling


class SpecFormer(Configurable, PatchEncoder):
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

    `position="axis"` makes the position of a token a function of the place of its patch on the axis, in eV, cm⁻¹ or
    ppm, instead of a learned vector for each patch (:class:`AxisPositions`). The same weights then read spectra of
    another grid and of a shorter or longer range (`axes` of `forward`). Patches keep their width, and go on at equal
    distances beyond the ends of the model's axis. Each is resampled to the same number of samples. One projection
    therefore serves all grids, and a cropped spectrum gives the tokens that the same part of the whole spectrum gives.

    The module is deterministic: random masks for training are an argument (see :class:`PatchMask`).

    Where nothing is missing, the results equal those of the released code up to rounding. Differences: kinds are a dict
    instead of fixed slots for UV, IR and Raman. Masks are passed in, while the release draws new ones in every forward,
    evaluation included. The attention is exact but never forms a (heads × n × n) tensor.

    Args:
        lengths: Axis of each kind of spectrum, or its number of samples. Kinds given as peaks have a
            :class:`PeakAxis`. With `position="axis"` all kinds have axes.
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
        pool: "flatten" (as published), "mean" over the valid tokens, or "bands", the means in soft bands of each axis
            (:class:`BandPooling`). Default: "flatten", or "bands" with `position="axis"`, as flattening fixes the
            number of tokens. In "flatten" and "bands" the mean of its tokens stands for a list of peaks.
        norm: "batch" (as published) or "layer".
        dropout: Dropout rate in the layers.
        position: "learned" (as published) or "axis".
        num_bands: Bands of each kind for `pool="bands"`, for all kinds or for each, at most as many as its tokens.

    Raises:
        ValueError: the sizes do not fit each other, or `position="axis"` lacks an axis or is flattened.

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
        pool: Literal["flatten", "mean", "bands"] | None = None,
        norm: Literal["batch", "layer"] = "batch",
        dropout: float = 0.0,
        position: Literal["learned", "axis"] = "learned",
        num_bands: int | Mapping[str, int] = 32,
    ) -> None:
        super().__init__()
        kinds, peak_axes = check_mixed_kinds(lengths)
        check_heads(hidden_channels, num_heads)
        check_sizes(num_layers=num_layers)
        check_probability("dropout", dropout)
        check_choice("position", position, ("learned", "axis"))
        pool = pool or ("bands" if position == "axis" else "flatten")
        check_choice("pool", pool, POOLS)
        check_choice("norm", norm, ("batch", "layer"))
        for name, sizes in (("patch_len", patch_len), ("stride", stride)):
            check_each_size(kinds, name, sizes)
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
        if position == "axis" and pool == "flatten":
            raise ValueError(
                'pool must be "bands" or "mean" with position="axis", whose number of tokens is free; got "flatten".'
            )
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.position = position
        self.pool = pool
        # Dot products of queries and keys grow with the root of their width, which would saturate the softmax.
        self.scale = (hidden_channels // num_heads) ** -0.5
        self.patchers = {kind: SpectrumPatcher(kinds[kind], patch_lens[kind], strides[kind]) for kind in kinds}
        self.scalings = nn.ModuleDict(scalings)
        # A projection per kind: patches of different spectra have different lengths, units and line widths.
        self.patch_proj = nn.ModuleDict({kind: nn.Linear(patch_lens[kind], hidden_channels) for kind in kinds})
        self.peak_tokens = nn.ModuleDict({kind: PeakTokens(axis, hidden_channels) for kind, axis in peak_axes.items()})
        # Positions tell tokens apart by kind and by energy. Attention itself does not know their order.
        self.positions = (
            positions_on_axes(self.patchers, self.axes, hidden_channels)
            if position == "axis"
            else nn.ParameterDict(
                {kind: nn.Parameter(torch.empty(n, hidden_channels)) for kind, n in self.num_patches.items()}
            )
        )
        self.layers = nn.ModuleList(
            ResidualAttentionLayer(
                hidden_channels, num_heads, feedforward_channels or 2 * hidden_channels, dropout, norm
            )
            for _ in range(num_layers)
        )
        self.pooling = TokenPooling(pool, self.patchers, for_each(kinds, "num_bands", num_bands), len(peak_axes))
        self.out_proj = nn.Linear(hidden_channels * self.pooling.num_vectors, out_channels)
        self.out_norm = LayerNorm(out_channels)
        # Small beside the projected patches, so that intensities dominate the tokens at first.
        for vectors in self.positions.parameters():
            nn.init.uniform_(vectors, -0.02, 0.02)

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

    def forward(
        self,
        spectra: Mapping[str, Tensor] | Data | PreparedSpectra,
        masked: Mapping[str, Tensor] | None = None,
        *,
        axes: Mapping[str, SpectrumAxis | Tensor] | None = None,
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
            axes: Kind → axis of the given spectra, or positions (L,) of their samples, where they differ from those of
                the model (see `prepare`).
            return_attention: Return the attention maps as well. Memory grows with the square of the token number.

        Returns:
            Tokens (B, n, D), embedding (B, F), valid tokens (B, n) and the attention maps.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, or (checked for CPU tensors) a value is infinite, or a
                spectrum with gaps has no complete patch.
            TypeError: a dtype differs from that of the weights, or a mask is not bool.
        """
        with record_function("molspectra::specformer.patching"):
            prepared = self.prepare(spectra, axes)
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
            pooled = self._pool(tokens, valid, prepared)
            embedding = self.out_norm(self.out_proj(pooled).to(tokens.dtype))
        return SpectrumFeatures(tokens, embedding, valid, tuple(attention) if return_attention else None)

    def tokenize(
        self, spectra: Mapping[str, Tensor] | Data | PreparedSpectra, masked: Mapping[str, Tensor] | None = None
    ) -> tuple[Float[Tensor, "batch tokens channels"], Bool[Tensor, "batch tokens"]]:
        """Return the tokens that enter the first layer, (B, n, D), and which of them are valid, (B, n)."""
        prepared, masked = self.prepare(spectra), {} if masked is None else masked
        check_tensors_by_kind("masked", masked)
        if unknown := set(masked) - set(self.kinds):
            raise ValueError(f"masked has the unknown kinds {sorted(unknown)}; expected some of {list(self.kinds)}.")
        tokens, valid = [], []
        for kind in self.lengths:  # not self.positions: a ParameterDict sorts its keys
            patcher, scaled = self.patchers[kind], prepared.scaled[kind]
            hides = kind in masked
            patches = patcher.hide(scaled, masked[kind], f"masked[{kind!r}]") if hides else patcher.cut(scaled)
            tokens.append(self.patch_proj[kind](patches) + self._position(kind, prepared))
            valid.append(patcher.complete(prepared.measured[kind]))
        for kind, axis in self.peak_axes.items():
            peaks, present, hidden = prepared.scaled[kind], prepared.measured[kind], masked.get(kind)
            check_peak_mask(kind, hidden, present)
            precursor = prepared.scaled.get(axis.precursor or "")
            of_kind, known = self.peak_tokens[kind](peaks, present, hidden, precursor)
            tokens.append(of_kind)
            valid.append(known)
        return torch.cat(tokens, dim=1), torch.cat(valid, dim=1)

    def prepare(
        self,
        spectra: Mapping[str, Tensor] | Data | PreparedSpectra,
        axes: Mapping[str, SpectrumAxis | Tensor] | None = None,
    ) -> PreparedSpectra:
        """Check spectra, add absent kinds as missing spectra, and scale all of them (see the base class).

        Spectra may have gaps: samples of NaN, which were not measured. On another grid than the model's, they are
        resampled to its step on their device. Coarser ones are interpolated, and finer ones averaged over the bins,
        which conserves their area. With learned positions that is done on the axis of the model, and the part of it
        that was not measured becomes a gap. With `position="axis"` the patches that lie within the given range are
        read, also beyond the axis of the model.

        Args:
            spectra: Kind → intensities (B, L_kind), or molecules with these fields, or prepared spectra, which are
                returned as they are.
            axes: Kind → axis of the given spectra, or positions (L,) of their samples in the unit of the model's axis,
                strictly ascending or descending. Kinds without one are on the axis of the model.

        Raises:
            ValueError: a kind is unknown, a shape is wrong, the unit or range of an axis does not fit, or (checked for
                CPU tensors) a value is infinite, or a spectrum with gaps has no complete patch.
            TypeError: a dtype differs from that of the weights.

        Example:
            >>> specformer = SpecFormer({"ir": ms.data.IR}, hidden_channels=32, num_heads=4, position="axis")
            >>> measured = ms.data.SpectrumAxis("ir", start=800, stop=3600, step=2, unit="cm^-1")
            >>> specformer({"ir": torch.rand(2, 1401)}, axes={"ir": measured}).tokens.shape
            torch.Size([2, 111, 32])
        """
        if axes is not None and not isinstance(axes, Mapping):
            raise TypeError(f'axes must map kinds to axes, {{"ir": molspectra.data.IR}}; got a {type(axes).__name__}.')
        if isinstance(spectra, PreparedSpectra):
            if axes:
                raise ValueError("axes must be given to prepare; these spectra are prepared, and on the model's grid.")
            return spectra
        first: dict[str, int] = {}
        if axes:
            patchers = self.patchers if self.position == "axis" else {}
            if isinstance(spectra, Data):
                names = (*self.kinds, *precursor_fields(self.peak_axes.values()))
                spectra = {name: spectra[name] for name in names if name in spectra}
            spectra, first = regrid_all(spectra, axes, self.axes, self.lengths, patchers)
        lengths = {kind: spectra[kind].shape[1] if kind in first else length for kind, length in self.lengths.items()}
        prepared = prepare_mixed(spectra, lengths, self.peak_axes, self.scalings, next(self.out_norm.parameters()))
        prepared = prepared._replace(first=first)
        for kind in self.lengths:
            measured = prepared.measured[kind]
            if values_are_free(measured) and not bool(measured.all()):
                self.patchers[kind].check_gaps(f"spectra[{kind!r}]", measured)
        return prepared

    def _position(self, kind: str, prepared: PreparedSpectra) -> Float[Tensor, "tokens channels"]:
        """Return the positions of the tokens of one kind."""
        positions = self.positions[kind]
        if isinstance(positions, Tensor):
            return positions
        axis = self.axes[kind]
        return positions(axis.start + axis.step * self._places(kind, prepared))

    def _pool(self, tokens: Tensor, valid: Tensor, prepared: PreparedSpectra) -> Tensor:
        """Return one vector for each sample from its valid tokens."""
        counts = self.count_tokens(prepared)
        has_bands = self.pool == "bands"
        places = {kind: self._places(kind, prepared) for kind in self.lengths} if has_bands else {}
        return self.pooling(tokens, valid, [counts[kind] for kind in self.kinds], list(places.values()))
