"""Features of chosen layers of an encoder."""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

from torch import Tensor, nn
from torch_geometric.data import Batch

from molspectra.features import AtomFeatures
from molspectra.layers.hook_point import HookPoint
from molspectra.methods.encoding import encode

Layers = Sequence[int] | Literal["all"] | None
"""Numbers of layers, from 0 or from the end, "all" of them, or None for the output of an encoder."""


class LayersError(ValueError):
    """Layers that an encoder does not have, which is no fault of a molecule."""


def encode_layers(encoder: nn.Module, batch: Batch, layers: Layers) -> list[AtomFeatures]:
    """Return an encoder's output, or the scalars after some of its layers.

    Args:
        encoder: Maps (z, pos, batch) to atom features.
        batch: Molecules.
        layers: Layers to read, from 0, or from the end by negative numbers, or "all". None for the output.

    Raises:
        LayersError: the encoder shows no layers, or fewer.
    """
    if layers is None:
        return [encode(encoder, batch)]
    places = [module for module in encoder.modules() if isinstance(module, HookPoint)]
    seen: list[Tensor] = []
    hooks = [place.register_forward_hook(lambda module, inputs, scalars: seen.append(scalars)) for place in places]
    try:
        encode(encoder, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise LayersError(
            f"layers={layers if layers == 'all' else list(layers)} asks for features within {type(encoder).__name__}, "
            "which shows none. Call a molspectra.layers.HookPoint on the scalars after each of its layers, or leave "
            "layers out."
        )
    if layers == "all":
        return [AtomFeatures(scalars) for scalars in seen]
    if isinstance(layers, str) or any(isinstance(layer, bool) or not isinstance(layer, Integral) for layer in layers):
        raise LayersError(f'layers must be whole numbers, "all" or None; got {layers!r}.')
    if not all(-len(seen) <= layer < len(seen) for layer in layers):
        raise LayersError(f"layers must lie in {-len(seen)}..{len(seen) - 1}; got {list(layers)}.")
    return [AtomFeatures(seen[layer]) for layer in layers]
