"""Encoders made of models from elsewhere: PyG's molecular models, graph networks and functions."""

from molspectra.encoders.adapters.adapter import Adapter

__all__ = ["Adapter"]
