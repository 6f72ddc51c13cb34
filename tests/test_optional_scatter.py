"""torch-scatter is never needed; where it is installed, torch_geometric uses it, and nothing changes."""

import importlib.util

import pytest
import torch
import torch_geometric.typing

import molspectra as ms
from molspectra.testing import random_molecules


@pytest.mark.skipif(importlib.util.find_spec("torch_scatter") is None, reason="needs torch-scatter (an optional extra)")
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_results_are_equal_with_and_without_torch_scatter(monkeypatch, reduce):
    z, pos, batch = random_molecules((9, 1, 5), torch.float64)
    encoder = ms.encoders.EquivariantTransformer(16, 2, 4, 8).double()
    results = []
    for installed in (True, False):
        monkeypatch.setattr(torch_geometric.typing, "WITH_TORCH_SCATTER", installed)
        encoder.zero_grad()
        pooled = encoder(z, pos, batch).pool(batch, reduce)
        pooled.square().sum().backward()
        results.append([pooled, *(p.grad for p in encoder.parameters())])
    for with_scatter, without in zip(*results, strict=True):
        torch.testing.assert_close(with_scatter, without, rtol=1e-10, atol=1e-12)
