"""Importing checkpoints that other groups published."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from molspectra.data.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling
from molspectra.encoders import EquivariantTransformer
from molspectra.heads import PatchReconstructionHead, ScalarHead, VectorHead
from molspectra.objectives import TargetNormalizer
from molspectra.pretrained.checkpoint import load_strictly
from molspectra.pretrained.keymaps import EQUIVARIANT_TRANSFORMER, GATED_HEAD, KINDS, RECONSTRUCTION, SPECFORMER, rename
from molspectra.pretrained.lightning import read_lightning
from molspectra.spectra import SpecFormer

# What the importer implements, of the many options the released command lines have.
_SUPPORTED = {
    "model": "equivariant-transformer",
    "rbf_type": "expnorm",
    "activation": "silu",
    "attn_activation": "silu",
    "distance_influence": "both",
    "neighbor_embedding": True,
    "aggr": "add",
    "cutoff_lower": 0.0,
    "prior_model": None,
    "output_model": "Scalar",
}
# The extremes of QM9S that the released MolSpectra code scales by with `minmax`.
_QM9S_RANGE = {
    "uv_vis": (0.0, 2.1593494415283203),
    "ir": (7.871089474065229e-05, 2029.77783203125),
    "raman": (3.300115713500418e-05, 19843.4453125),
}
# Spectra lengths in use; the file itself only tells the number of patches.
_LENGTHS = {"uv_vis": (701, 601), "ir": (3501,), "raman": (3501,)}


@dataclass(frozen=True)
class ReferenceCheckpoint:
    """The parts of a published checkpoint, in `as_released` form and evaluation mode; None where the file has none."""

    encoder: nn.Module
    """(z, pos, batch) → :class:`~molspectra.encoders.AtomFeatures`."""
    noise_head: VectorHead | None
    """Atom features → predicted normalised displacement (N, 3)."""
    property_head: ScalarHead | None
    """Atom features → one number a molecule (B, 1)."""
    position_normalizer: TargetNormalizer | None
    """Displacements in Å → normalised displacements, (N, 3)."""
    specformer: SpecFormer | None
    """The spectrum encoder."""
    reconstruction_head: PatchReconstructionHead | None
    """Spectrum tokens → scaled patches."""
    hyper_parameters: Mapping[str, Any]
    """What the file says of how it was trained."""


def load_reference(path: str | Path) -> ReferenceCheckpoint:
    """Import a Lightning checkpoint of MolSpectra or Coord (TorchMD-Net's equivariant transformer).

    Sizes are read off the weights and the stored hyper-parameters. Every tensor of the file must find its place.
    Nothing in the file is executed.

    Args:
        path: The published .ckpt file.

    Returns:
        The parts, in the arithmetic they were trained with.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such checkpoint, uses an option that is not implemented, or its tensors do not
            fit; all missing, unexpected and mis-shaped keys are listed.
    """
    return import_lightning(read_lightning(path), str(path))


def import_lightning(checkpoint: Mapping[str, Any], source: str) -> ReferenceCheckpoint:
    """The parts of a checkpoint that is loaded already: a mapping with `state_dict` and `hyper_parameters`."""
    hyper = checkpoint["hyper_parameters"]
    for option, supported in _SUPPORTED.items():
        if option in hyper and hyper[option] != supported:
            raise ValueError(f"{source} has {option}={hyper[option]!r}; only {supported!r} can be imported.")
    parts = _Parts(checkpoint["state_dict"])
    encoder = _encoder(parts.take("model.representation_model."), hyper, source)
    channels = encoder.out_channels
    mean, std = (float(parts.take(f"model.{name}", exact=True)[""].reshape(())) for name in ("mean", "std"))
    reduce: Literal["mean", "sum"] = "mean" if hyper["reduce_op"] == "mean" else "sum"
    property_head = _filled(
        ScalarHead(channels, mean, std, reduce, as_released=True),
        rename(parts.take("model.output_model."), GATED_HEAD),
        source,
    )
    noise_head = normalizer = specformer = reconstruction = None
    if noise := parts.take("model.output_model_noise."):
        noise_head = _filled(VectorHead(channels, as_released=True), rename(noise, GATED_HEAD), source)
    if statistics := parts.take("model.pos_normalizer."):
        normalizer = _normalizer(statistics)
    if spectra := parts.take("model.representation_spec_model."):
        specformer, reconstruction = _specformer(spectra, hyper, source)
    parts.refuse_leftovers(source)
    return ReferenceCheckpoint(encoder, noise_head, property_head, normalizer, specformer, reconstruction, hyper)


class _Parts:
    """A state dict that is handed out by prefix, so that what nobody asked for can be named."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self.left = dict(state)

    def take(self, prefix: str, exact: bool = False) -> dict[str, Tensor]:
        """Remove and return the tensors below a prefix, by their names behind it."""
        names = [name for name in self.left if (name == prefix if exact else name.startswith(prefix))]
        if exact and not names:
            raise ValueError(f"missing: {prefix}; the file is no checkpoint of these models.")
        return {name.removeprefix(prefix): self.left.pop(name) for name in names}

    def refuse_leftovers(self, source: str) -> None:
        if self.left:
            listed = "\n  ".join(f"unexpected: {name} {tuple(t.shape)}" for name, t in self.left.items())
            raise ValueError(f"The weights of {source} have no place here ({len(self.left)} keys):\n  {listed}")


def _filled(module: Any, state: Mapping[str, Tensor], source: str) -> Any:
    load_strictly(module, state, source)
    return module.eval()


def _encoder(state: dict[str, Tensor], hyper: Mapping[str, Any], source: str) -> EquivariantTransformer:
    for name in ("embedding.weight", "distance_expansion.means"):
        if name not in state:
            raise ValueError(f"{source} does not fit: missing: model.representation_model.{name}")
    encoder = EquivariantTransformer(
        hidden_channels=state["embedding.weight"].shape[1],
        num_layers=_count(state, "attention_layers."),
        num_heads=hyper["num_heads"],
        num_rbf=state["distance_expansion.means"].shape[0],
        cutoff=hyper["cutoff_upper"],
        max_z=state["embedding.weight"].shape[0] - 1,
        vector_norm="whitened" if "out_norm_vec.weight" in state else None,
        norm_every_layer=any(name.startswith("x_norms.") for name in state),
        as_released=True,
    )
    return _filled(encoder, rename(state, EQUIVARIANT_TRANSFORMER), source)


def _specformer(
    state: dict[str, Tensor], hyper: Mapping[str, Any], source: str
) -> tuple[SpecFormer, PatchReconstructionHead]:
    reconstruction_state = {name: state.pop(name) for name in list(state) if name.startswith("reconstruct_heads.")}
    # The softmax scale is stored with the weights, and is the only trace of the number of heads.
    scales = [state.pop(name) for name in list(state) if name.endswith("sdp_attn.scale")]
    renamed = rename(state, SPECFORMER)
    patch_len = dict(zip(KINDS, hyper["patch_len"], strict=True))
    stride = dict(zip(KINDS, hyper["stride"], strict=True))
    hidden_channels = renamed["out_proj.weight"].shape[1] // sum(
        renamed[f"positions.{kind}"].shape[0] for kind in KINDS
    )
    scalings: dict[str, dict[str, nn.Module]] = {
        "log10": {kind: Log10Scaling() for kind in KINDS},
        "log": {kind: LogScaling() for kind in KINDS},
        "minmax": {kind: MinMaxScaling(*_QM9S_RANGE[kind]) for kind in KINDS},
    }
    specformer = SpecFormer(
        {kind: _length(kind, renamed[f"positions.{kind}"].shape[0], patch_len[kind], stride[kind]) for kind in KINDS},
        patch_len,
        stride,
        hidden_channels=hidden_channels,
        num_layers=len(scales),
        num_heads=round(hidden_channels * float(scales[0]) ** 2),
        out_channels=renamed["out_proj.weight"].shape[0],
        feedforward_channels=renamed["layers.0.feedforward.0.weight"].shape[0],
        scaling=scalings.get(hyper["input_data_norm_type"], {kind: IdentityScaling() for kind in KINDS}),
    )
    reconstruction = PatchReconstructionHead(hidden_channels, patch_len)
    return (
        _filled(specformer, renamed, source),
        _filled(reconstruction, rename(reconstruction_state, RECONSTRUCTION), source),
    )


def _normalizer(statistics: Mapping[str, Tensor]) -> TargetNormalizer:
    """From the released running sums of targets and squared targets."""
    normalizer = TargetNormalizer(as_released=True)
    count = statistics["acc_count"].double().reshape(())
    mean = statistics["acc_sum"].double() / count.clamp(min=1)
    normalizer.count.copy_(count)
    normalizer.mean.copy_(mean)
    normalizer.squared_deviations.copy_((statistics["acc_squared_sum"].double() - count * mean.square()).clamp(min=0))
    return normalizer.eval()


def _length(kind: str, num_patches: int, patch_len: int, stride: int) -> int:
    """The length in use that gives this number of patches, else the shortest that does."""
    for length in _LENGTHS[kind]:
        if (length - patch_len) // stride + 1 == num_patches:
            return length
    return (num_patches - 1) * stride + patch_len


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})
