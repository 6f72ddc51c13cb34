"""Importing the checkpoint of 3D-EMGP."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from molspectra.encoders.egnn.model import EGNN
from molspectra.heads import EnergyHead, NoiseScaleHead
from molspectra.pretrained import keymaps
from molspectra.pretrained.parts import Parts

# What training on several devices put ahead of all names.
_PREFIX = "module."


class EMGPParts(NamedTuple):
    """The parts of a checkpoint of 3D-EMGP (Jiao et al. 2023, arXiv:2207.08824), in `as_released` form."""

    encoder: EGNN
    energy_head: EnergyHead
    noise_scale_head: NoiseScaleHead
    noise_scales: Tensor


def emgp_state(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor] | None:
    """The tensors of a checkpoint of 3D-EMGP, which stand below `model` or are all there is; None if it is another."""
    state = checkpoint.get("model", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        return None
    return state if any(str(name).startswith(_PREFIX) for name in state) else None


def import_emgp(state: Mapping[str, Tensor], source: str) -> EMGPParts:
    """The parts that a state dict of 3D-EMGP describes.

    Args:
        state: Tensors by their published names, `module.*`.
        source: Where they come from, for messages.

    Raises:
        ValueError: tensors are missing, unexpected or of a wrong shape.
    """
    parts = Parts(state, source)
    noise_scales = parts.need(_PREFIX + "sigmas")
    encoder = _encoder(parts)
    energy_head = EnergyHead(encoder.out_channels, as_released=True).eval()
    parts.fill(energy_head.pool.mlp, _PREFIX + "node_dec.", ())
    parts.fill(energy_head.mlp, _PREFIX + "graph_dec.", ())
    (num_levels,) = _sizes(parts, _PREFIX + "noise_pred.2.bias", 1)
    noise_scale_head = NoiseScaleHead(encoder.out_channels, num_levels).eval()
    parts.fill(noise_scale_head.mlp, _PREFIX + "noise_pred.", ())
    if noise_scales.shape != (num_levels,):
        parts.problems.append(
            f"mis-shaped: {_PREFIX}sigmas is {tuple(noise_scales.shape)}, expected ({num_levels},), one a noise level"
        )
    parts.refuse_misfits()
    return EMGPParts(encoder, energy_head, noise_scale_head, noise_scales)


def _encoder(parts: Parts) -> EGNN:
    prefix = _PREFIX + "model."
    hidden_channels, num_element_features = _sizes(parts, prefix + "embedding_in.weight", 2)
    _, num_edge_features = _sizes(parts, prefix + "gcl_0.edge_mlp.0.weight", 2)
    # Behind the features of both atoms and the squared distance: one number for each type of edge.
    num_edge_types = num_edge_features - 2 * hidden_channels - 1
    encoder = EGNN(
        hidden_channels=hidden_channels,
        num_layers=parts.count(prefix + "gcl_"),
        cutoff=None,
        max_hops=max(num_edge_types - 1, 0),
        coordinates="last",
        attention=parts.has(prefix + "gcl_0.att_mlp."),
        layer_norm=parts.has(prefix + "gcl_0.node_ln."),
        max_z=num_element_features // 3 - 1,
        as_released=True,
    )
    parts.fill(encoder, prefix, keymaps.EGNN)
    return encoder


def _sizes(parts: Parts, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that says how large a part is."""
    shape = parts.shape(name)
    if len(shape) != dimensions:
        raise ValueError(
            f"The weights of {parts.source} do not fit: mis-shaped: {name} is {tuple(shape)}, expected {dimensions} "
            "dimensions"
        )
    return tuple(shape)
