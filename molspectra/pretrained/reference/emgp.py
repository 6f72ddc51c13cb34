"""Import of the checkpoints of the 3D-EMGP repository: its own, and its baselines."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from molspectra.encoders import EGNN
from molspectra.heads import EnergyHead
from molspectra.methods.noise_scale_classifier import NoiseScaleClassifier
from molspectra.pretrained.reference import keymaps
from molspectra.pretrained.reference.checkpoint import ReferenceCheckpoint
from molspectra.pretrained.reference.parts import Parts

# Training on several devices put this before all names.
_PREFIX = "module."
# Heads of the baselines: predictors of atom types, and projections of atoms, of molecules and of their augmentations.
_BASELINE_HEADS = ("type_predictor", "projector", "node_dec", "graph_dec", "graph_dec_proj")


def emgp_state(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor] | None:
    """Return the tensors of a checkpoint of 3D-EMGP, which are at the top or below `model`, else None."""
    state = checkpoint.get("model", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    return state if any(str(name).startswith(_PREFIX) for name in state) else None


def import_emgp(state: Mapping[str, Tensor], source: str) -> ReferenceCheckpoint:
    """Return the parts of a state dict of 3D-EMGP (Jiao et al. 2023, arXiv:2207.08824), or of one of its baselines.

    All have the same encoder. The heads of the baselines (AttrMask, EdgePred, GCC, GPT-GNN, GraphCL, InfoGraph, JOAO,
    JOAOv2, PosPred) have no counterpart here and are extras.

    Args:
        state: Tensors by their published names, `module.*`.
        source: Origin of the tensors, for messages.

    Raises:
        ValueError: tensors are missing, unexpected or of a wrong shape.
    """
    parts = Parts(state, source)
    if not parts.has(_PREFIX + "sigmas") and not parts.has(_PREFIX + "noise_pred."):
        return _import_baseline(parts)
    noise_scales = parts.need(_PREFIX + "sigmas")
    encoder = _encoder(parts)
    energy_head = EnergyHead(encoder.out_channels, as_released=True).eval()
    parts.fill(energy_head.pool.mlp, _PREFIX + "node_dec.", ())
    parts.fill(energy_head.mlp, _PREFIX + "graph_dec.", ())
    (num_levels,) = _sizes(parts, _PREFIX + "noise_pred.2.bias", 1)
    noise_scale_head = NoiseScaleClassifier(encoder.out_channels, num_levels).eval()
    parts.fill(noise_scale_head.mlp, _PREFIX + "noise_pred.", ())
    if noise_scales.shape != (num_levels,):
        parts.problems.append(
            f"mis-shaped: {_PREFIX}sigmas is {tuple(noise_scales.shape)}, expected ({num_levels},), one per noise level"
        )
    parts.refuse_misfits()
    return ReferenceCheckpoint(
        encoder,
        hyper_parameters={},
        energy_head=energy_head,
        noise_scale_head=noise_scale_head,
        noise_scales=noise_scales,
    )


def _import_baseline(parts: Parts) -> ReferenceCheckpoint:
    """Return the encoder of a baseline, and its heads as extras."""
    encoder = _encoder(parts)
    extras: dict[str, Tensor] = {}
    for head in _BASELINE_HEADS:
        prefix = f"{_PREFIX}{head}."
        extras |= {prefix + name: tensor for name, tensor in parts.take(prefix).items()}
    parts.refuse_misfits()
    return ReferenceCheckpoint(encoder, hyper_parameters={}, extras=extras)


def _encoder(parts: Parts) -> EGNN:
    """Return the EGNN, its sizes read off the weights."""
    prefix = _PREFIX + "model."
    hidden_channels, num_element_features = _sizes(parts, prefix + "embedding_in.weight", 2)
    _, num_edge_features = _sizes(parts, prefix + "gcl_0.edge_mlp.0.weight", 2)
    # Inputs of an edge: the features of both atoms, the squared distance, and one number for each type of edge: 1, 2, …
    # bonds apart, or further.
    num_edge_types = num_edge_features - 2 * hidden_channels - 1
    encoder = EGNN(
        hidden_channels=hidden_channels,
        num_layers=parts.count(prefix + "gcl_"),
        cutoff=None,
        max_hops=max(num_edge_types - 1, 0),
        coordinates="last",
        attention=parts.has(prefix + "gcl_0.att_mlp."),
        layer_norm=parts.has(prefix + "gcl_0.node_ln."),
        # One-hot elements times (z / 100)^p, p = 0, 1, 2: three numbers for each z from 0.
        max_z=num_element_features // 3 - 1,
        as_released=True,
    )
    parts.fill(encoder, prefix, keymaps.EGNN)
    return encoder


def _sizes(parts: Parts, name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a tensor that tells the size of a part.

    Raises:
        ValueError: the tensor is missing, or has another number of dimensions.
    """
    shape = parts.shape(name)
    if len(shape) != dimensions:
        raise ValueError(
            f"The weights of {parts.source} do not fit: mis-shaped: {name} is {tuple(shape)}, expected {dimensions} "
            "dimensions"
        )
    return tuple(shape)
