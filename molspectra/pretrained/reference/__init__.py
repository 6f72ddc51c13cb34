"""Import of checkpoints that other groups published: one file per published format."""

from molspectra.pretrained.reference.checkpoint import ReferenceCheckpoint
from molspectra.pretrained.reference.loading import load_reference

__all__ = ["ReferenceCheckpoint", "load_reference"]


def __dir__() -> list[str]:
    return __all__
