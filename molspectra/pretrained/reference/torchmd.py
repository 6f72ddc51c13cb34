"""Prefix and sizes of an encoder in a checkpoint of TorchMD-Net or of a code that grew out of it."""

from typing import Any

from molspectra.pretrained.reference.hyper_parameters import HyperParameters
from molspectra.pretrained.reference.parts import Parts

ENCODER_PREFIX = "model.representation_model."


def encoder_sizes(parts: Parts, hyper: HyperParameters) -> dict[str, Any]:
    """Read keywords of an encoder in its released form off the weights, and off the options what weights do not say."""
    num_elements, hidden_channels = parts.shape(ENCODER_PREFIX + "embedding.weight")
    return {
        "hidden_channels": hidden_channels,
        "num_layers": parts.count(ENCODER_PREFIX + "attention_layers."),
        "num_heads": hyper["num_heads"],
        "num_rbf": parts.shape(ENCODER_PREFIX + "distance_expansion.means")[0],
        "cutoff": hyper["cutoff_upper"],
        "max_z": num_elements - 1,
        "vector_norm": "whitened" if parts.has(ENCODER_PREFIX + "out_norm_vec.") else None,
        "as_released": True,
    }
