"""Place within an encoder whose features are worth reading."""

from typing import Literal, NamedTuple

from torch import nn

from molspectra._signature import attribute_of
from molspectra._validation import checked


class Reading(NamedTuple):
    """Layers and pooling that the card of a model recommends, as `molspectra.embed` takes them.

    They were chosen on validation molecules. The last layer of a denoiser has turned into directions of displacements,
    and is often the worst one to read.
    """

    layers: tuple[int, ...] | Literal["all"] | None
    """Numbers of layers, "all", or None for the output."""
    pool: str
    """Reductions over atoms, joined by "+"."""


@checked
def recommend_reading(model: nn.Module, reading: Reading) -> nn.Module:
    """Attach a reading to an encoder, and return the encoder. Copies and files of `save` keep it."""
    model.recommended_reading = reading  # type: ignore[assignment]
    return model


@checked
def recommended_reading(model: nn.Module) -> Reading | None:
    """Return the reading that came with an encoder, also within a wrapper, or None."""
    reading = attribute_of(model, "recommended_reading", None)
    return reading if isinstance(reading, Reading) else None
