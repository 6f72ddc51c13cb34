"""SpecFormer and its reconstruction head, from a checkpoint of MolSpectra."""

from torch import nn

from molspectra.pretrained.reference.hyper_parameters import HyperParameters
from molspectra.pretrained.reference.keymaps import KINDS, RECONSTRUCTION, RELEASED_KINDS, SPECFORMER
from molspectra.pretrained.reference.parts import Parts
from molspectra.spectra import PatchDecoder, SpecFormer
from molspectra.spectra.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling

_PREFIX = "model.representation_spec_model."
# Smallest and largest intensities of QM9S, by which the released code scales with the option `minmax`.
_QM9S_RANGE = {
    "uv_vis": (0.0, 2.1593494415283203),
    "ir": (7.871089474065229e-05, 2029.77783203125),
    "raman": (3.300115713500418e-05, 19843.4453125),
}
# Lengths of spectra in use. The file itself only tells the number of patches, which several lengths share.
_LENGTHS = {"uv_vis": (701, 601), "ir": (3501,), "raman": (3501,)}


def import_specformer(parts: Parts, hyper: HyperParameters) -> tuple[SpecFormer | None, PatchDecoder | None]:
    """Return the SpecFormer of a checkpoint and its reconstruction head, or None if it holds none, as Coord's."""
    if not parts.has(_PREFIX):
        return None, None
    patch_len = dict(zip(KINDS, hyper["patch_len"], strict=True))
    stride = dict(zip(KINDS, hyper["stride"], strict=True))
    num_patches = {kind: parts.shape(f"{_PREFIX}backbone.W_pos_{RELEASED_KINDS[kind]}")[0] for kind in KINDS}
    out_channels, flattened = parts.shape(_PREFIX + "head.linear.weight")
    hidden_channels = flattened // sum(num_patches.values())
    # The softmax scale, one over the root of a head's width, is stored with the weights. Nothing else in the file tells
    # the number of heads.
    scales = {float(scale) for scale in parts.take(_PREFIX, suffix="sdp_attn.scale").values()}
    if len(scales) != 1:
        raise ValueError(f"The layers of {parts.source} must share one sdp_attn.scale; got {sorted(scales)}.")
    scalings: dict[str, dict[str, nn.Module]] = {
        "log10": {kind: Log10Scaling() for kind in KINDS},
        "log": {kind: LogScaling() for kind in KINDS},
        "minmax": {kind: MinMaxScaling(*_QM9S_RANGE[kind]) for kind in KINDS},
    }
    specformer = SpecFormer(
        {kind: _length(kind, num_patches[kind], patch_len[kind], stride[kind]) for kind in KINDS},
        patch_len,
        stride,
        hidden_channels=hidden_channels,
        num_layers=parts.count(_PREFIX + "backbone.encoder.layers."),
        num_heads=round(hidden_channels * scales.pop() ** 2),
        out_channels=out_channels,
        feedforward_channels=parts.shape(_PREFIX + "backbone.encoder.layers.0.ff.0.weight")[0],
        # As in the release, any other name means no scaling.
        scaling=scalings.get(hyper["input_data_norm_type"], {kind: IdentityScaling() for kind in KINDS}),
    )
    reconstruction = PatchDecoder(hidden_channels, patch_len)
    parts.fill(reconstruction, _PREFIX, RECONSTRUCTION, below="reconstruct_heads.")
    parts.fill(specformer, _PREFIX, SPECFORMER)
    return specformer, reconstruction


def _length(kind: str, num_patches: int, patch_len: int, stride: int) -> int:
    """Return the length in use that gives this number of patches, or the shortest that does."""
    for length in _LENGTHS[kind]:
        if (length - patch_len) // stride + 1 == num_patches:
            return length
    return (num_patches - 1) * stride + patch_len
