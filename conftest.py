"""What tests, docstring examples and documentation examples share."""

from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _names_in_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """The names that examples use without importing them."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    # Not imported with this file: shapes are checked only in what is imported after pytest has been configured.
    from torch_geometric.data import Batch, Data

    import molspectra as ms

    doctest_namespace.update(Batch=Batch, Data=Data, ms=ms, tmp_path=request.getfixturevalue("tmp_path"), torch=torch)
