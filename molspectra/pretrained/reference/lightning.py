"""Import of the Lightning checkpoints of MolSpectra, Coord, Frad and SliDe."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from molspectra.encoders import BaseEncoder, EquivariantTransformer
from molspectra.heads import ScalarHead, VectorHead
from molspectra.objectives import TargetNormalizer
from molspectra.pretrained.reference.checkpoint import ReferenceCheckpoint
from molspectra.pretrained.reference.get import import_get, is_get
from molspectra.pretrained.reference.hyper_parameters import HyperParameters
from molspectra.pretrained.reference.keymaps import EQUIVARIANT_TRANSFORMER, GATED_HEAD, NOISE_VECTOR_HEAD, SET_ASIDE
from molspectra.pretrained.reference.parts import Parts
from molspectra.pretrained.reference.specformer import import_specformer
from molspectra.pretrained.reference.torchmd import ENCODER_PREFIX, encoder_sizes

_VECTOR_NORM = ENCODER_PREFIX + "out_norm_vec."


def is_lightning(checkpoint: Mapping[str, Any]) -> bool:
    """Return True if a checkpoint is one of Lightning's, with the weights and the options of the model."""
    return {"state_dict", "hyper_parameters"} <= set(checkpoint)


def import_lightning(checkpoint: Mapping[str, Any], source: str) -> ReferenceCheckpoint:
    """Return the parts of a checkpoint that is loaded already.

    Args:
        checkpoint: Mapping with `state_dict` and `hyper_parameters`.
        source: Origin of the checkpoint, for messages.

    Raises:
        ValueError: an option is not implemented, or tensors are missing, unexpected or of a wrong shape.
    """
    hyper = HyperParameters(checkpoint["hyper_parameters"], source)
    parts = Parts(checkpoint["state_dict"], source)
    extras: dict[str, Tensor] = {}
    # After fine-tuning on forces, only the noise head reads normalized vectors.
    noise_norm = parts.take(_VECTOR_NORM) if hyper.options.get("seperate_noise") else {}  # spelled so in the release
    encoder: BaseEncoder
    if is_get(parts, hyper):
        encoder, extras = import_get(parts, hyper)
    else:
        encoder = _encoder(parts, hyper)
    channels = encoder.out_channels
    mean, std = (float(parts.need(f"model.{name}").mean()) for name in ("mean", "std"))
    reduce: Literal["mean", "sum"] = "mean" if hyper["reduce_op"] == "mean" else "sum"
    property_head = ScalarHead(channels, mean, std, reduce, as_released=True)
    parts.fill(property_head, "model.output_model.", GATED_HEAD)
    noise_head = _noise_head(parts, noise_norm, channels)
    if noise_head is None:
        extras |= {_VECTOR_NORM + name: tensor for name, tensor in noise_norm.items()}
    force_head = _vector_head(parts, "model.output_model_ff.", channels)
    if noise_norm and force_head is not None:
        parts.problems.append("unexpected: model.output_model_ff., as vectors are normalized for one head only")
    position_normalizer = _normalizer(parts, "model.pos_normalizer.")
    force_normalizer = _normalizer(parts, "model.ff_normalizer.")
    specformer, reconstruction_head = import_specformer(parts, hyper)
    extras |= {name: parts.need(name) for name in list(parts.left) if SET_ASIDE.match(name)}
    parts.refuse_misfits()
    return ReferenceCheckpoint(
        encoder,
        dict(checkpoint["hyper_parameters"]),
        noise_head=noise_head,
        property_head=property_head,
        position_normalizer=position_normalizer,
        specformer=specformer,
        reconstruction_head=reconstruction_head,
        force_head=force_head,
        force_normalizer=force_normalizer,
        extras=extras,
    )


def _encoder(parts: Parts, hyper: HyperParameters) -> EquivariantTransformer:
    """Return TorchMD-Net's equivariant transformer, its sizes read off the weights."""
    prefix = ENCODER_PREFIX
    norm_every_layer = parts.has(prefix + "x_norms.") or parts.has(prefix + "vec_norms.")
    encoder = EquivariantTransformer(**encoder_sizes(parts, hyper), norm_every_layer=norm_every_layer)
    if norm_every_layer and not parts.has(prefix + "x_norms.") and "use_dataset_md17" not in hyper:
        # The norm of scalars between the layers of Frad and SliDe has no weights, which weights of 1 and biases of 0
        # stand for. In MolSpectra, which the option in question belongs to, it has weights: there they are missing.
        neutral = encoder.scalar_norms.state_dict(prefix=prefix + "x_norms.")
        parts.left |= {
            name: torch.full_like(tensor, float(name.endswith("weight"))) for name, tensor in neutral.items()
        }
    parts.fill(encoder, prefix, EQUIVARIANT_TRANSFORMER)
    return encoder


def _noise_head(parts: Parts, norm: Mapping[str, Tensor], channels: int) -> VectorHead | None:
    """Return the head for vectors of atoms, alone or from a list with heads for scalars of bonds, angles and torsions.

    Args:
        parts: Tensors of the file.
        norm: Weights of a norm that belongs to this head, if there is one.
        channels: Width of the atom features.

    Raises:
        ValueError: the list has several heads for vectors.
    """
    prefixes = sorted({match[1] for name in parts.left if (match := NOISE_VECTOR_HEAD.match(name))})
    if len(prefixes) > 1:
        raise ValueError(f"The weights of {parts.source} do not fit: several vector heads: {', '.join(prefixes)}")
    if not prefixes:
        return None
    parts.left |= {f"{prefixes[0]}vector_norm.{name}": tensor for name, tensor in norm.items()}
    return _vector_head(parts, prefixes[0], channels)


def _vector_head(parts: Parts, prefix: str, channels: int) -> VectorHead | None:
    """Return the head of a prefix, if the file has one."""
    if not parts.has(prefix):
        return None
    norm: Literal["whitened"] | None = "whitened" if parts.has(prefix + "vector_norm.") else None
    head = VectorHead(channels, as_released=True, vector_norm=norm)
    parts.fill(head, prefix, GATED_HEAD)
    return head


def _normalizer(parts: Parts, prefix: str) -> TargetNormalizer | None:
    """Return the normalizer of a prefix, from the released running sums of targets and squared targets."""
    if not parts.has(prefix):
        return None
    total, squares, count = (
        parts.need(f"{prefix}{name}").double() for name in ("acc_sum", "acc_squared_sum", "acc_count")
    )
    parts.take(prefix + "num_accumulations")  # counts batches, which no formula uses
    normalizer = TargetNormalizer(as_released=True)
    for name, tensor, size in (("acc_sum", total, 3), ("acc_squared_sum", squares, 3), ("acc_count", count, 1)):
        if tensor.shape != (size,):
            parts.problems.append(f"mis-shaped: {prefix}{name} is {tuple(tensor.shape)}, expected ({size},)")
            return normalizer
    # Σ (t - t̄)² = Σ t² - n t̄², in float64 and cut off at 0, as the difference may cancel.
    mean = total / count.clamp(min=1)
    normalizer.count.copy_(count[0])
    normalizer.mean.copy_(mean)
    normalizer.squared_deviations.copy_((squares - count * mean.square()).clamp(min=0))
    return normalizer.eval()
