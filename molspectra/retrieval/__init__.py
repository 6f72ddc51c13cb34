"""Search of a library of embeddings for the rows most similar to a query: which molecule has this spectrum?"""

from molspectra.retrieval import splits
from molspectra.retrieval.accuracy import topk_accuracy
from molspectra.retrieval.bootstrap import Estimate
from molspectra.retrieval.evaluation import Evaluation, evaluate
from molspectra.retrieval.index import Index
from molspectra.retrieval.masks import mass_window, same_formula
from molspectra.retrieval.matches import Matches
from molspectra.retrieval.overlap import Leakage, leakage

__all__ = [
    "Estimate",
    "Evaluation",
    "Index",
    "Leakage",
    "Matches",
    "evaluate",
    "leakage",
    "mass_window",
    "same_formula",
    "splits",
    "topk_accuracy",
]


def __dir__() -> list[str]:
    return __all__
