"""E(n)-equivariant graph network of 3D-EMGP."""

from molspectra.encoders.egnn.model import EGNN

__all__ = ["EGNN"]


def __dir__() -> list[str]:
    return __all__
