"""Saving, loading and importing weights."""

from molspectra.pretrained.checkpoint import load_strictly, save
from molspectra.pretrained.hub import from_pretrained, push_to_hub, save_pretrained
from molspectra.pretrained.loading import load
from molspectra.pretrained.reference import ReferenceCheckpoint, load_reference
from molspectra.pretrained.zoo import Checkpoint, info, list

__all__ = [
    "Checkpoint",
    "ReferenceCheckpoint",
    "from_pretrained",
    "info",
    "list",
    "load",
    "load_reference",
    "load_strictly",
    "push_to_hub",
    "save",
    "save_pretrained",
]
