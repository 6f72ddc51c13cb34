"""Equivariant transformer with features of any degree, after Equiformer."""

from molspectra.encoders.irreps_transformer.model import IrrepsTransformer

__all__ = ["IrrepsTransformer"]


def __dir__() -> list[str]:
    return __all__
