"""Clean state of the compiler for every adapter."""

import pytest
import torch


@pytest.fixture(autouse=True)
def forget_compiled_code(request):
    """Every adapter compiles the same method, and the compiler gives up on one that has seen many models."""
    if request.node.get_closest_marker("compile"):
        torch._dynamo.reset()
