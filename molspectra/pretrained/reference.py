"""Importing checkpoints that other groups published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from molspectra.encoders import EquivariantTransformer
from molspectra.heads import EnergyHead, NoiseScaleHead, PatchReconstructionHead, ScalarHead, VectorHead
from molspectra.objectives import TargetNormalizer
from molspectra.pretrained.keymaps import (
    EQUIVARIANT_TRANSFORMER,
    GATED_HEAD,
    KINDS,
    NOISE_VECTOR_HEAD,
    RECONSTRUCTION,
    RELEASED_KINDS,
    SET_ASIDE,
    SPECFORMER,
)
from molspectra.pretrained.lightning import is_lightning, read_checkpoint
from molspectra.pretrained.parts import Parts
from molspectra.pretrained.reference_emgp import emgp_state, import_emgp
from molspectra.spectra import SpecFormer
from molspectra.spectra.scaling import IdentityScaling, Log10Scaling, LogScaling, MinMaxScaling

# What the importer implements, of the many options the released command lines have.
_SUPPORTED: dict[str, tuple] = {
    "model": ("equivariant-transformer",),
    "rbf_type": ("expnorm",),
    "activation": ("silu",),
    "attn_activation": ("silu",),
    "distance_influence": ("both",),
    "neighbor_embedding": (True,),
    "aggr": ("add",),
    "cutoff_lower": (0.0,),
    "prior_model": (None,),
    "output_model": ("Scalar",),
    "reduce_op": ("add", "mean"),
    "seperate_noise": (False,),
}
# Why other values of an option are refused, where it is not plain.
_REASONS = {
    "model": "Another architecture: the published SliDe files hold F2D (GET), which carries features of edges, angles "
    "and torsions through its layers.",
    "seperate_noise": "Its noise head alone sees normalised vectors, as after fine-tuning on MD17.",
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
    """(z, pos, batch) → :class:`~molspectra.encoders.AtomFeatures`; that of 3D-EMGP needs `bond_index` as well."""
    hyper_parameters: Mapping[str, Any]
    """What the file says of how it was trained; nothing in the case of 3D-EMGP."""
    noise_head: VectorHead | None = None
    """Atom features → predicted normalised displacement (N, 3); of a SliDe without `force_head`: its gradient."""
    property_head: ScalarHead | None = None
    """Atom features → one number a molecule (B, 1)."""
    position_normalizer: TargetNormalizer | None = None
    """Displacements in Å → normalised displacements, (N, 3)."""
    specformer: SpecFormer | None = None
    """The spectrum encoder."""
    reconstruction_head: PatchReconstructionHead | None = None
    """Spectrum tokens → scaled patches."""
    energy_head: EnergyHead | None = None
    """Atom features → an energy a molecule (B,), whose negative gradient is the predicted force."""
    noise_scale_head: NoiseScaleHead | None = None
    """Molecule features `energy_head.pool(atoms, batch)` as it is and perturbed → logits of the noise levels (B, L)."""
    noise_scales: Tensor | None = None
    """Standard deviations σ of the noise levels in Å, (L,), largest first."""
    force_head: VectorHead | None = None
    """Atom features → normalised gradient of SliDe's energy (N, 3), where it denoises coordinates as well."""
    force_normalizer: TargetNormalizer | None = None
    """Gradients of SliDe's energy → normalised gradients, (N, 3), where it denoises coordinates as well."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors of parts without counterpart here, by their published names: Frad's and SliDe's heads and normalisers for
    changes of bonds, angles and torsions (trained by no loss), and for masked atoms; scales of forces."""


def load_reference(path: str | Path) -> ReferenceCheckpoint:
    """Import a checkpoint of MolSpectra, Coord, Frad or SliDe (equivariant transformer), or of 3D-EMGP (EGNN).

    Sizes are read off the weights and the stored hyper-parameters. Every tensor of the file must find its place, in a
    part or in `extras`. Nothing in the file is executed. All parts are on the CPU.

    Of Frad and SliDe, files with TorchMD-Net's equivariant transformer are imported. Between its layers their release
    norms scalars without weights and vectors with them. The files that SliDe's authors published hold another encoder,
    F2D, and are refused.

    Args:
        path: The published file: a Lightning .ckpt of MolSpectra, Coord, Frad or SliDe; of 3D-EMGP the file itself, or
            its tensors by the same names in a .safetensors.

    Returns:
        The parts, in the arithmetic they were trained with.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such checkpoint, uses an option that is not implemented, or its tensors do not
            fit; all missing, unexpected and mis-shaped keys are listed.
    """
    checkpoint = read_checkpoint(path)
    if is_lightning(checkpoint):
        return import_lightning(checkpoint, str(path))
    state = emgp_state(checkpoint)
    if state is not None:
        return ReferenceCheckpoint(hyper_parameters={}, **import_emgp(state, str(path))._asdict())
    names = sorted(map(str, checkpoint))
    raise ValueError(
        f"{path} is no Lightning checkpoint (a dict with state_dict and hyper_parameters), and none of 3D-EMGP "
        f"(tensors named module.*, by themselves or below model); its {len(names)} keys are {', '.join(names[:20])}"
        f"{', …' if len(names) > 20 else ''}."
    )


def import_lightning(checkpoint: Mapping[str, Any], source: str) -> ReferenceCheckpoint:
    """The parts of a checkpoint that is loaded already: a mapping with `state_dict` and `hyper_parameters`."""
    hyper = _HyperParameters(checkpoint["hyper_parameters"], source)
    hyper.refuse_unsupported()
    parts = Parts(checkpoint["state_dict"], source)
    encoder = _encoder(parts, hyper)
    channels = encoder.out_channels
    mean, std = (float(parts.need(f"model.{name}").mean()) for name in ("mean", "std"))
    reduce: Literal["mean", "sum"] = "mean" if hyper["reduce_op"] == "mean" else "sum"
    property_head = ScalarHead(channels, mean, std, reduce, as_released=True)
    parts.fill(property_head, "model.output_model.", GATED_HEAD)
    specformer = reconstruction = None
    noise_head = _noise_head(parts, channels)
    force_head = _vector_head(parts, "model.output_model_ff.", channels)
    normalizer, force_normalizer = (
        _normalizer(parts, f"model.{name}.") for name in ("pos_normalizer", "ff_normalizer")
    )
    if parts.has("model.representation_spec_model."):
        specformer, reconstruction = _specformer(parts, hyper)
    extras = {name: parts.need(name) for name in list(parts.left) if SET_ASIDE.match(name)}
    parts.refuse_misfits()
    return ReferenceCheckpoint(
        encoder,
        dict(checkpoint["hyper_parameters"]),
        noise_head=noise_head,
        property_head=property_head,
        position_normalizer=normalizer,
        specformer=specformer,
        reconstruction_head=reconstruction,
        force_head=force_head,
        force_normalizer=force_normalizer,
        extras=extras,
    )


class _HyperParameters:
    """The options a checkpoint was trained with; those that are needed must be there."""

    def __init__(self, options: Mapping[str, Any], source: str) -> None:
        self.options = options
        self.source = source

    def __getitem__(self, name: str) -> Any:
        if name not in self.options:
            raise ValueError(f"{self.source} lacks the hyper-parameter {name!r}; it has {sorted(self.options)}.")
        return self.options[name]

    def refuse_unsupported(self) -> None:
        for option, supported in _SUPPORTED.items():
            if option in self.options and self.options[option] not in supported:
                known = " or ".join(map(repr, supported))
                raise ValueError(
                    f"{self.source} has {option}={self.options[option]!r}; only {known} can be imported. "
                    f"{_REASONS.get(option, '')}".rstrip()
                )


def _encoder(parts: Parts, hyper: _HyperParameters) -> EquivariantTransformer:
    prefix = "model.representation_model."
    num_elements, hidden_channels = parts.shape(prefix + "embedding.weight")
    norm_every_layer = parts.has(prefix + "x_norms.") or parts.has(prefix + "vec_norms.")
    encoder = EquivariantTransformer(
        hidden_channels=hidden_channels,
        num_layers=parts.count(prefix + "attention_layers."),
        num_heads=hyper["num_heads"],
        num_rbf=parts.shape(prefix + "distance_expansion.means")[0],
        cutoff=hyper["cutoff_upper"],
        max_z=num_elements - 1,
        vector_norm="whitened" if parts.has(prefix + "out_norm_vec.") else None,
        norm_every_layer=norm_every_layer,
        as_released=True,
    )
    if norm_every_layer and not parts.has(prefix + "x_norms.") and "use_dataset_md17" not in hyper.options:
        # Frad's and SliDe's norm of scalars between layers has no weights; MolSpectra's (whose option that is) has.
        neutral = encoder.scalar_norms.state_dict(prefix=prefix + "x_norms.")
        parts.left |= {
            name: torch.full_like(tensor, float(name.endswith("weight"))) for name, tensor in neutral.items()
        }
    parts.fill(encoder, prefix, EQUIVARIANT_TRANSFORMER)
    return encoder


def _noise_head(parts: Parts, channels: int) -> VectorHead | None:
    """The head for vectors of atoms, by itself or in a list with heads for scalars of bonds, angles and torsions."""
    prefixes = sorted({match[1] for name in parts.left if (match := NOISE_VECTOR_HEAD.match(name))})
    if len(prefixes) > 1:
        raise ValueError(f"The weights of {parts.source} do not fit: several vector heads: {', '.join(prefixes)}")
    return _vector_head(parts, prefixes[0], channels) if prefixes else None


def _vector_head(parts: Parts, prefix: str, channels: int) -> VectorHead | None:
    if not parts.has(prefix):
        return None
    head = VectorHead(channels, as_released=True)
    parts.fill(head, prefix, GATED_HEAD)
    return head


def _specformer(parts: Parts, hyper: _HyperParameters) -> tuple[SpecFormer, PatchReconstructionHead]:
    prefix = "model.representation_spec_model."
    patch_len = dict(zip(KINDS, hyper["patch_len"], strict=True))
    stride = dict(zip(KINDS, hyper["stride"], strict=True))
    num_patches = {kind: parts.shape(f"{prefix}backbone.W_pos_{RELEASED_KINDS[kind]}")[0] for kind in KINDS}
    out_channels, flattened = parts.shape(prefix + "head.linear.weight")
    hidden_channels = flattened // sum(num_patches.values())
    # The softmax scale is stored with the weights, and is the only trace of the number of heads.
    scales = {float(scale) for scale in parts.take(prefix, suffix="sdp_attn.scale").values()}
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
        num_layers=parts.count(prefix + "backbone.encoder.layers."),
        num_heads=round(hidden_channels * scales.pop() ** 2),
        out_channels=out_channels,
        feedforward_channels=parts.shape(prefix + "backbone.encoder.layers.0.ff.0.weight")[0],
        # As in the release, any other name means no scaling.
        scaling=scalings.get(hyper["input_data_norm_type"], {kind: IdentityScaling() for kind in KINDS}),
    )
    reconstruction = PatchReconstructionHead(hidden_channels, patch_len)
    parts.fill(reconstruction, prefix, RECONSTRUCTION, below="reconstruct_heads.")
    parts.fill(specformer, prefix, SPECFORMER)
    return specformer, reconstruction


def _normalizer(parts: Parts, prefix: str) -> TargetNormalizer | None:
    """From the released running sums of targets and squared targets."""
    if not parts.has(prefix):
        return None
    total, squares, count = (
        parts.need(f"{prefix}{name}").double() for name in ("acc_sum", "acc_squared_sum", "acc_count")
    )
    parts.take(prefix + "num_accumulations")
    normalizer = TargetNormalizer(as_released=True)
    for name, tensor, size in (("acc_sum", total, 3), ("acc_squared_sum", squares, 3), ("acc_count", count, 1)):
        if tensor.shape != (size,):
            parts.problems.append(f"mis-shaped: {prefix}{name} is {tuple(tensor.shape)}, expected ({size},)")
            return normalizer
    mean = total / count.clamp(min=1)
    normalizer.count.copy_(count[0])
    normalizer.mean.copy_(mean)
    normalizer.squared_deviations.copy_((squares - count * mean.square()).clamp(min=0))
    return normalizer.eval()


def _length(kind: str, num_patches: int, patch_len: int, stride: int) -> int:
    """The length in use that gives this number of patches, else the shortest that does."""
    for length in _LENGTHS[kind]:
        if (length - patch_len) // stride + 1 == num_patches:
            return length
    return (num_patches - 1) * stride + patch_len
