"""Encoders made of models from elsewhere: PyG's molecular models, graph networks and functions."""

from molspectra.encoders.adapters.adapter import Adapter
from molspectra.encoders.adapters.function_encoder import FunctionEncoder
from molspectra.encoders.adapters.graph_encoder import GraphEncoder
from molspectra.encoders.adapters.pyg_encoder import PyGEncoder

__all__ = ["Adapter", "FunctionEncoder", "GraphEncoder", "PyGEncoder"]


def __dir__() -> list[str]:
    return __all__
