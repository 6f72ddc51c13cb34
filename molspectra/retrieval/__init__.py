"""Finding the rows of a library that are most like a query: which molecule has this spectrum?"""

from molspectra.retrieval.accuracy import topk_accuracy
from molspectra.retrieval.index import Index, Matches

__all__ = ["Index", "Matches", "topk_accuracy"]
