"""Projection of embeddings to the space where they are contrasted."""

import torch

from molspectra.layers import ProjectionMLP


def test_projection_head():
    assert ProjectionMLP(6, 3)(torch.randn(2, 6)).shape == (2, 3)
