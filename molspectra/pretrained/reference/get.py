"""SliDe's own encoder, from a Lightning checkpoint: F2D for QM9, and F2D-org for MD17."""

import torch
from torch import Tensor

from molspectra.encoders import GET
from molspectra.pretrained.reference import keymaps
from molspectra.pretrained.reference.hyper_parameters import HyperParameters
from molspectra.pretrained.reference.parts import Parts
from molspectra.pretrained.reference.torchmd import ENCODER_PREFIX, encoder_sizes

_F2D, _F2D_ORG = "equivariant-transformerf2d", "equivariant-transformerf2d_org"


def is_get(parts: Parts, hyper: HyperParameters) -> bool:
    """Return True if a checkpoint holds SliDe's encoder, by the name of its model or, without one, by its weights."""
    name = hyper.options.get("model")
    return parts.has(ENCODER_PREFIX + "update_es.") if name is None else name in (_F2D, _F2D_ORG)


def import_get(parts: Parts, hyper: HyperParameters) -> tuple[GET, dict[str, Tensor]]:
    """Return SliDe's encoder, its sizes read off the weights, and norms that its release stores but never applies.

    Raises:
        ValueError: vectors are normalized ahead of the residual, as in no published setting.
    """
    normed_edges = parts.has(ENCODER_PREFIX + "update_es.0.e0_norm.")
    if parts.has(ENCODER_PREFIX + "vec_norms.") and not normed_edges:
        raise ValueError(
            f"{parts.source} has {_F2D_ORG} with norms of vectors in each layer; only md17=True can be imported, in "
            "which it has none."
        )
    _drop_second_radial_basis(parts)
    unused = {
        f"{ENCODER_PREFIX}x_norms.{name}": tensor for name, tensor in parts.take(ENCODER_PREFIX + "x_norms.").items()
    }
    encoder = GET(
        **encoder_sizes(parts, hyper),
        norm_every_layer=parts.has(ENCODER_PREFIX + "vec_norms."),
        normalize=normed_edges if hyper.options.get("model") is None else hyper["model"] == _F2D,
    )
    parts.fill(encoder, ENCODER_PREFIX, keymaps.GET)
    return encoder, unused


def _drop_second_radial_basis(parts: Parts) -> None:
    """Take out the constants of the radial basis that the file holds twice, and note those that differ."""
    for name, tensor in parts.take(ENCODER_PREFIX + "init_e.distance_exp.").items():
        first = parts.left.get(f"{ENCODER_PREFIX}distance_expansion.{name}")
        if first is None or not torch.equal(first, tensor):
            parts.problems.append(
                f"unexpected: {ENCODER_PREFIX}init_e.distance_exp.{name}, unlike distance_expansion.{name}"
            )
