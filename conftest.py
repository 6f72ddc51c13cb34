"""Settings and fixtures that tests, docstring examples and documentation examples share."""

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")  # figures of examples open no windows

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers already fill the cores: with more than one thread each, they and the processes they start wait for
    # one another.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Exempt the modules, which live to the end, from garbage collection: a quarter of the time of compilation."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Close the figures of a test, of which matplotlib would keep all."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def _names_in_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    """Provide the names that examples use without importing them."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    # Not imported with this file: shapes are checked only in what is imported after pytest has been configured.
    from torch_geometric.data import Batch, Data

    import molspectra as ms

    doctest_namespace.update(Batch=Batch, Data=Data, ms=ms, tmp_path=request.getfixturevalue("tmp_path"), torch=torch)
