"""Geometric equivariant transformer, the encoder of SliDe."""

from molspectra.encoders.get.model import GET

__all__ = ["GET"]


def __dir__() -> list[str]:
    return __all__
