"""Encoders by name, directory or file."""

from pathlib import Path

from torch import nn

from molspectra._signature import attribute_of
from molspectra.encoders.protocol import Encoder
from molspectra.pretrained import ReferenceCheckpoint, load, load_reference


def as_encoder(encoder_or_name: Encoder | str | Path) -> nn.Module:
    """Return an encoder as a module, loaded if it is given by name, directory or file."""
    if isinstance(encoder_or_name, str | Path):
        return load_encoder(encoder_or_name)[0]
    return encoder_or_name if isinstance(encoder_or_name, nn.Module) else _Function(encoder_or_name)


def load_encoder(model: str | Path) -> tuple[nn.Module, nn.Module | None]:
    """Load an encoder, and the pooling of its energy head if it has one.

    Args:
        model: A name or directory for :func:`molspectra.pretrained.load`, or a published file for
            :func:`molspectra.pretrained.load_reference`.

    Raises:
        ValueError: the model is no encoder and has none.
    """
    loaded = load_reference(model) if Path(model).is_file() else load(model)
    if isinstance(loaded, ReferenceCheckpoint):
        return loaded.encoder, None if loaded.energy_head is None else loaded.energy_head.pool
    if hasattr(loaded, "out_channels") and hasattr(loaded, "cutoff"):
        return loaded, None
    raise ValueError(f"The model must be an encoder; {model} holds a {type(loaded).__name__}. Save the encoder alone.")


class _Function(nn.Module):
    """Encoder around a function."""

    def __init__(self, call: Encoder) -> None:
        super().__init__()
        self.forward = call
        self.max_z = attribute_of(call, "max_z", 118)
        self.needs_bonds = attribute_of(call, "needs_bonds", False)
