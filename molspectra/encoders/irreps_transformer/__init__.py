"""Transformer on features of any degree."""

from molspectra.encoders.irreps_transformer.model import IrrepsTransformer

__all__ = ["IrrepsTransformer"]
