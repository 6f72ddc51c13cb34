"""Search of a library of embeddings for the rows most similar to a query: which molecule has this spectrum?"""

from molspectra.retrieval.accuracy import topk_accuracy
from molspectra.retrieval.index import Index
from molspectra.retrieval.matches import Matches

__all__ = ["Index", "Matches", "topk_accuracy"]


def __dir__() -> list[str]:
    return __all__
