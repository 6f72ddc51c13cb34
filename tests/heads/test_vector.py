"""Vectors of atoms from an encoder without vectors."""

import pytest
import torch

from molspectra.encoders import AtomFeatures
from molspectra.heads import VectorHead


def test_heads_refuse_an_encoder_without_vectors():
    with pytest.raises(ValueError, match="needs atom vectors"):
        VectorHead(8)(AtomFeatures(torch.randn(3, 8)))
