"""Fixtures of the tests of methods."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from torch import nn

if TYPE_CHECKING:
    from torch_geometric.data import Batch


@pytest.fixture(autouse=True)
def weights(float32_weights: None) -> None:
    """Build methods and encoders in float32, as the molecules of MiniSpectra are."""


@pytest.fixture
def make_encoder() -> Callable[[], nn.Module]:
    """Make a small equivariant encoder of width 16."""
    import molspectra as ms

    return lambda: ms.encoders.EquivariantTransformer(16, num_layers=2, num_heads=4, num_rbf=8)


@pytest.fixture
def batch() -> "Batch":
    """Six molecules with spectra and labels."""
    from torch_geometric.data import Batch

    import molspectra as ms

    return Batch.from_data_list(list(ms.data.MiniSpectra("train")[:6]))
