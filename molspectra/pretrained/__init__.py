"""Saving, loading and importing weights."""

from collections.abc import Iterable

from molspectra.pretrained.card import Checkpoint
from molspectra.pretrained.directory import save
from molspectra.pretrained.hub import from_pretrained, push_to_hub, save_pretrained
from molspectra.pretrained.loading import load
from molspectra.pretrained.published import checkpoint_info, list_checkpoints
from molspectra.pretrained.reading import Reading, recommend_reading, recommended_reading
from molspectra.pretrained.reference import ReferenceCheckpoint, load_reference
from molspectra.pretrained.shipped import EncoderPair
from molspectra.pretrained.strict_loading import load_strictly

list, info = list_checkpoints, checkpoint_info  # short forms, for use as ms.pretrained.list()

__all__ = [
    "Checkpoint",
    "EncoderPair",
    "Reading",
    "ReferenceCheckpoint",
    "checkpoint_info",
    "from_pretrained",
    "info",
    "list",
    "list_checkpoints",
    "load",
    "load_reference",
    "load_strictly",
    "push_to_hub",
    "recommend_reading",
    "recommended_reading",
    "save",
    "save_pretrained",
]


def __dir__() -> Iterable[str]:
    return __all__
