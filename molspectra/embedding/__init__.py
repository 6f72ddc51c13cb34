"""Features of molecules from an encoder, in one call."""

from molspectra.embedding.molecules import embed, embed_molecules
from molspectra.embedding.result import EmbeddingResult

__all__ = ["EmbeddingResult", "embed", "embed_molecules"]


def __dir__() -> list[str]:
    return __all__
