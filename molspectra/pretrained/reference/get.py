"""SliDe's own encoder, from a Lightning checkpoint: F2D for QM9, and F2D-org for MD17."""

import torch
from torch import Tensor

from molspectra.encoders import GET
from molspectra.pretrained.reference import keymaps
from molspectra.pretrained.reference.hyper_parameters import HyperParameters
from molspectra.pretrained.reference.parts import Parts

_PREFIX = "model.representation_model."
_F2D, _F2D_ORG = "equivariant-transformerf2d", "equivariant-transformerf2d_org"


def is_get(parts: Parts, hyper: HyperParameters) -> bool:
    """Return True if a checkpoint holds SliDe's encoder, by the name of its model or, without one, by its weights."""
    name = hyper.options.get("model")
    return parts.has(_PREFIX + "update_es.") if name is None else name in (_F2D, _F2D_ORG)


def import_get(parts: Parts, hyper: HyperParameters) -> tuple[GET, dict[str, Tensor]]:
    """Return SliDe's encoder, its sizes read off the weights, and norms that its release stores but never applies.

    Raises:
        ValueError: vectors are normalized ahead of the residual, as in no published setting.
    """
    num_elements, hidden_channels = parts.shape(_PREFIX + "embedding.weight")
    normed_edges = parts.has(_PREFIX + "update_es.0.e0_norm.")
    if parts.has(_PREFIX + "vec_norms.") and not normed_edges:
        raise ValueError(
            f"{parts.source} has {_F2D_ORG} with norms of vectors in each layer; only md17=True can be imported, in "
            "which it has none."
        )
    _drop_second_radial_basis(parts)
    unused = {f"{_PREFIX}x_norms.{name}": tensor for name, tensor in parts.take(_PREFIX + "x_norms.").items()}
    encoder = GET(
        hidden_channels=hidden_channels,
        num_layers=parts.count(_PREFIX + "attention_layers."),
        num_heads=hyper["num_heads"],
        num_rbf=parts.shape(_PREFIX + "distance_expansion.means")[0],
        cutoff=hyper["cutoff_upper"],
        max_z=num_elements - 1,
        vector_norm="whitened" if parts.has(_PREFIX + "out_norm_vec.") else None,
        norm_every_layer=parts.has(_PREFIX + "vec_norms."),
        normalize=normed_edges if hyper.options.get("model") is None else hyper["model"] == _F2D,
        as_released=True,
    )
    parts.fill(encoder, _PREFIX, keymaps.GET)
    return encoder, unused


def _drop_second_radial_basis(parts: Parts) -> None:
    """Take out the constants of the radial basis that the file holds twice, and note those that differ."""
    for name, tensor in parts.take(_PREFIX + "init_e.distance_exp.").items():
        first = parts.left.get(f"{_PREFIX}distance_expansion.{name}")
        if first is None or not torch.equal(first, tensor):
            parts.problems.append(f"unexpected: {_PREFIX}init_e.distance_exp.{name}, unlike distance_expansion.{name}")
