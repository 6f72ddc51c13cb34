"""Bonds as edges, against a set of pairs."""

import pytest
import torch

from molspectra.geometry import bond_graph


@pytest.mark.parametrize("bonds", [[], [(0, 1)], [(2, 1), (1, 2), (0, 4), (0, 4)], [(3, 0), (0, 3), (4, 3), (3, 1)]])
def test_bonds_in_bond_graph(bonds):
    expected = sorted({(j, i) for i, j in bonds} | {(i, j) for i, j in bonds})  # by target, then by source
    edges = bond_graph(torch.tensor(bonds, dtype=torch.int64).reshape(-1, 2).t(), 5)
    assert edges.flip(0).t().tolist() == [list(pair) for pair in expected]


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("bond_index", "error", "message"),
    [
        (torch.zeros(2, 1, dtype=torch.int32), TypeError, "must be int64; got torch.int32"),
        (torch.zeros(3, 2, dtype=torch.int64), ValueError, r"shape \(2, B\).*got \(3, 2\)"),
        (torch.tensor([[0], [14]]), ValueError, r"must hold atoms 0..13; got bond 0 = \(0, 14\)"),
        (torch.tensor([[0, 0], [1, -1]]), ValueError, r"got bond 1 = \(0, -1\). Number atoms from 0"),
    ],
)
def test_impossible_bonds_are_refused(bond_index, error, message):
    with pytest.raises(error, match=message):
        bond_graph(bond_index, 14)
