"""Encoders by name, directory or file, or within a loaded checkpoint."""

from pathlib import Path
from typing import Any

from torch import nn

from molspectra._function_module import as_module
from molspectra._signature import parameters_of, unwrap
from molspectra.encoders.protocol import Encoder
from molspectra.pretrained import EncoderPair, ReferenceCheckpoint, load, load_reference

Model = Encoder | EncoderPair | ReferenceCheckpoint | str | Path
"""An encoder, a checkpoint that holds one, or the name, directory or file of either."""


def load_encoder(model: Model) -> tuple[nn.Module, nn.Module | None]:
    """Return an encoder as a module, and the pooling of its energy head if it has one.

    Args:
        model: Any callable `encoder(z, pos, batch)`, a :class:`~molspectra.pretrained.ReferenceCheckpoint`, a name or
            directory for :func:`molspectra.pretrained.load`, or a file for
            :func:`molspectra.pretrained.load_reference`.

    Raises:
        ValueError: the model holds no encoder.
        TypeError: it is none of these.
    """
    if isinstance(model, str | Path):
        loaded = load_reference(model) if Path(model).is_file() else load(model)
        if callable(loaded) and not (hasattr(loaded, "out_channels") and hasattr(loaded, "cutoff")):
            raise ValueError(
                f"The model must be an encoder; {model} holds a {type(loaded).__name__}. Save the encoder alone."
            )
        return load_encoder(loaded)
    # A checkpoint cannot be called. A network of a user's that holds an encoder and can be called is one itself.
    if not callable(model) and isinstance(getattr(model, "encoder", None), nn.Module):
        energy_head = getattr(model, "energy_head", None)
        return model.encoder, None if energy_head is None else energy_head.pool
    _check_encoder(model)
    return as_module(model), None  # type: ignore[arg-type]


def _check_encoder(model: Any) -> None:
    expected = "The model must be an encoder (z, pos, batch) -> AtomFeatures, a checkpoint, or the name of either"
    if isinstance(model, type):
        raise TypeError(f"{expected}; got the class {model.__name__}. Make one: {model.__name__}(...).")
    if not callable(model):
        raise TypeError(f"{expected}; got a {type(model).__name__}.")
    parameters = parameters_of(model)
    if parameters.names[:1] == ("encoder",):
        raise TypeError(f"{expected}; got a {type(unwrap(model)).__name__}. Pass the encoder that it was trained with.")
    if parameters.names and not parameters.takes_any and len(parameters.names) < 3:
        raise TypeError(f"{expected}; got {type(model).__name__}({', '.join(parameters.names)}).")
