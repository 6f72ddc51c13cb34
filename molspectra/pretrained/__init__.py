"""Saving, loading and importing weights."""

from molspectra.pretrained.checkpoint import load, load_strictly, save
from molspectra.pretrained.reference import ReferenceCheckpoint, load_reference

__all__ = ["ReferenceCheckpoint", "load", "load_reference", "load_strictly", "save"]
