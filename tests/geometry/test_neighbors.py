"""Neighbor lists, against all pairs by brute force."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from molspectra.geometry import edge_geometry, half_neighbor_list, neighbors, radius_graph


def brute_force(pos: torch.Tensor, batch: torch.Tensor, cutoff: float, loop: bool) -> list[tuple[int, int]]:
    pairs = []
    for target in range(len(pos)):
        for source in range(len(pos)):
            close = (pos[source] - pos[target]).square().sum() < cutoff * cutoff
            if batch[source] == batch[target] and close and (loop or source != target):
                pairs.append((source, target))
    return pairs


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    gap=st.integers(0, 3),
    cutoff=st.floats(0.3, 6.0),
    loop=st.booleans(),
    block=st.sampled_from([1, 7, 1 << 21]),
    seed=st.integers(0, 1000),
)
def test_equals_brute_force_in_order(sizes, gap, cutoff, loop, block, seed):
    generator = torch.Generator().manual_seed(seed)
    pos = 2 * torch.randn(sum(sizes), 3, generator=generator)
    # Molecule numbers need not be contiguous: an empty molecule in a batch leaves a gap.
    batch = (torch.arange(len(sizes)) * (gap + 1)).repeat_interleave(torch.tensor(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbors, "_PAIRS_AT_ONCE", block)
        edge_index = radius_graph(pos, batch, cutoff, loop=loop)
        pairs = half_neighbor_list(pos, batch, cutoff)
    edges = brute_force(pos, batch, cutoff, loop)
    assert [tuple(edge) for edge in edge_index.T.tolist()] == edges
    assert [tuple(pair) for pair in pairs.T.tolist()] == [(i, j) for j, i in edges if i < j]


def test_no_neighbour_is_dropped():
    pos = 0.01 * torch.randn(100, 3)
    assert radius_graph(pos, None, 5.0).shape == (2, 100 * 99)


def test_cutoff_is_strict():
    pos = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])
    assert radius_graph(pos, None, 2.0).shape == (2, 0)
    assert radius_graph(pos, None, 2.0001).shape == (2, 2)


def test_empty_batch_has_no_edges():
    assert radius_graph(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 5.0).shape == (2, 0)


def test_memory_does_not_grow_with_the_square_of_the_batch():
    """20,000 atoms in molecules of 10 have 4 · 10⁸ pairs of atoms, but only 2 · 10⁵ pairs within a molecule."""
    batch = torch.arange(2000).repeat_interleave(10)
    tensors_before = torch.autograd.profiler.profile(profile_memory=True)
    with tensors_before as profile:
        edges = radius_graph(torch.rand(20000, 3), batch, 5.0)
    assert edges.shape == (2, 2000 * 90)
    assert max(event.cpu_memory_usage for event in profile.function_events) < 50e6


def test_bad_input():
    pos = torch.zeros(3, 3)
    with pytest.raises(ValueError, match="batch must be sorted"):
        radius_graph(pos, torch.tensor([0, 1, 0]), 5.0)
    with pytest.raises(ValueError, match="cutoff must be positive"):
        radius_graph(pos, None, 0.0)


@pytest.mark.cuda
def test_cuda_gives_the_same_edges_in_the_same_order():
    pos, batch = 3 * torch.randn(40, 3), torch.arange(5).repeat_interleave(8)
    assert torch.equal(radius_graph(pos.cuda(), batch.cuda(), 4.0).cpu(), radius_graph(pos, batch, 4.0))


def test_an_atom_at_nan_keeps_its_edges():
    """Without checks of values (CUDA), NaN must reach the features rather than pass as a lone atom."""
    pos = torch.zeros(3, 3)
    pos[1] = torch.nan
    assert radius_graph(pos, None, 5.0).shape == (2, 6)


def test_edge_geometry_points_from_target_to_source():
    pos = torch.tensor([[0.0, 0, 0], [2.0, 0, 0]])
    distance, direction = edge_geometry(pos, torch.tensor([[1, 0, 0], [0, 1, 0]]))
    torch.testing.assert_close(distance, torch.tensor([2.0, 2.0, 0.0]))
    torch.testing.assert_close(direction, torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0]]))


def test_edge_geometry_of_coincident_atoms_has_finite_derivatives():
    pos = torch.zeros(2, 3, requires_grad=True)
    distance, direction = edge_geometry(pos, torch.tensor([[0, 1], [1, 0]]))
    (grad,) = torch.autograd.grad((distance + direction.sum(1)).square().sum(), pos, create_graph=True)
    grad.square().sum().backward()
    assert grad.isfinite().all()
    assert pos.grad.isfinite().all()
