"""Messages in blocks, against the same sums over plain edges, and their derivatives against finite differences."""

import pytest
import torch
from torch.nn import functional as F

from molspectra.encoders.equivariant_transformer import blocks
from molspectra.encoders.equivariant_transformer.edge_messages import plain_messages
from molspectra.encoders.equivariant_transformer.inputs import Inputs, Neighborhood
from molspectra.encoders.equivariant_transformer.messages import pair_messages
from molspectra.geometry import edge_geometry, half_neighbor_list, radius_graph
from molspectra.layers import ExpNormalBasis
from molspectra.testing import random_molecules

CHANNELS, HEADS, NUM_RBF, CUTOFF = 8, 2, 5, 3.0


@pytest.fixture(params=["one block", "many blocks"])
def _blocks(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setitem(blocks._SIZE, "cpu", 3 * CHANNELS)


def inputs(pos, batch, dtype=torch.float64, requires_grad=True):
    """Random features of atoms and filters, and the neighborhood of positions."""
    shapes = [(len(pos), CHANNELS), (len(pos), 3 * CHANNELS), (len(pos), 3, CHANNELS)]
    shapes += [(4 * CHANNELS, NUM_RBF), (4 * CHANNELS,)]
    tensors = [torch.randn(shape, dtype=dtype, requires_grad=requires_grad) for shape in shapes]
    return [*tensors, *(t.requires_grad_(requires_grad and t.is_floating_point()) for t in neighborhood(pos, batch))]


def neighborhood(pos, batch):
    basis = ExpNormalBasis(NUM_RBF, CUTOFF).to(pos.dtype)
    pairs = half_neighbor_list(pos, batch, CUTOFF)
    distance, direction = edge_geometry(pos, pairs.flip(0))
    envelope = basis.envelope(distance).unsqueeze(1)
    return Neighborhood(pairs, direction, basis(distance), envelope, basis(pos.new_zeros(1)))


def messages(damp_attention, *inputs):
    return pair_messages(*inputs[:5], Neighborhood(*inputs[5:]), HEADS, damp_attention)


def over_edges(damp_attention, pos, batch, query, key_value, vec_value, weight, bias):
    """The equations, edge by edge."""
    source, target = radius_graph(pos, batch, CUTOFF, loop=True)
    distance, direction = edge_geometry(pos, torch.stack([source, target]))
    basis = ExpNormalBasis(NUM_RBF, CUTOFF).to(pos.dtype)
    damping = basis.envelope(distance)
    filters = F.silu(basis(distance) @ weight.T + bias)
    sums = torch.zeros_like(query), torch.zeros_like(vec_value)
    for edge, (j, i) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        key, v0, v2 = key_value[j].chunk(3)
        key_filter, f0, f2, f1 = filters[edge].chunk(4)
        attention = F.silu((query[i] * key * key_filter).reshape(HEADS, -1).sum(1)).repeat_interleave(CHANNELS // HEADS)
        of_attention, of_values = (damping[edge], 1.0) if damp_attention else (1.0, damping[edge])
        sums[0][i] += of_attention * attention * of_values * v0 * f0
        sums[1][i] += of_values * (vec_value[j] * f1 + torch.outer(direction[edge], v2 * f2))
    return sums


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("damp_attention", [True, False])
@pytest.mark.parametrize("sizes", [(5, 1, 8), (1,), (1, 1)], ids=str)
def test_equals_the_sums_over_edges(damp_attention, sizes):
    _, pos, batch = random_molecules(sizes, torch.float64)
    tensors = inputs(pos, batch, requires_grad=False)
    actual = messages(damp_attention, *tensors)
    for one, other in zip(actual, over_edges(damp_attention, pos, batch, *tensors[:5]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("damp_attention", [True, False])
def test_derivatives_of_everything(damp_attention):
    _, pos, batch = random_molecules((3, 1, 2), torch.float64)
    pairs, tensors = neighborhood(pos, batch).pairs, inputs(pos, batch)
    others = [*tensors[:5], *tensors[6:]]

    def sums(*others):
        return messages(damp_attention, *others[:5], pairs, *others[5:])

    assert torch.autograd.gradcheck(sums, others, fast_mode=True)
    assert torch.autograd.gradgradcheck(sums, others, fast_mode=True)


@pytest.mark.usefixtures("_blocks")
def test_third_derivatives_equal_those_of_the_plain_operations():
    _, pos, batch = random_molecules((3, 2), torch.float64)
    tensors, results = inputs(pos, batch), []
    for sums in (messages(False, *tensors), plain_messages(Inputs(*tensors), HEADS, False)):
        value = sum(total.square().sum() for total in sums)
        for index in (2, 1):  # vec_value, then keys and values
            (grad,) = torch.autograd.grad(value, tensors[index], create_graph=True)
            value = grad.square().sum()
        results.append(torch.autograd.grad(value, [t for t in tensors if t.requires_grad], materialize_grads=True))
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)


def test_frozen_parts_have_no_gradient():
    _, pos, batch = random_molecules((4,), torch.float64)
    tensors = inputs(pos, batch, requires_grad=False)
    tensors[2].requires_grad_()
    messages(False, *tensors)[1].sum().backward()
    assert [tensor.grad is None for tensor in tensors] == [index != 2 for index in range(len(tensors))]


def test_nothing_of_the_size_of_edges_is_kept():
    """Autograd saves per-atom rows and pair distances of a dense molecule, and nothing of edges × channels."""
    pos, batch = 0.5 * torch.rand(60, 3, dtype=torch.float64), torch.zeros(60, dtype=torch.int64)
    tensors, saved = inputs(pos, batch), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor.shape) or tensor, lambda t: t):
        messages(False, *tensors)
    num_pairs = 60 * 59 // 2
    assert tensors[5].shape == (2, num_pairs)
    assert max(shape.numel() for shape in saved) == num_pairs * NUM_RBF


@pytest.mark.usefixtures("_blocks")
def test_autocast_stays_close():
    _, pos, batch = random_molecules((5, 3))
    query, key_value, *others = (tensor.detach() for tensor in inputs(pos, batch, torch.float32))
    exact = messages(False, query, key_value, *others)
    halves = [tensor.bfloat16().requires_grad_() for tensor in (query, key_value)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = messages(False, *halves, *others)
    for one, other in zip(actual, exact, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() < 0.05 * other.abs().max()
    actual[0].sum().backward()
    assert halves[0].grad.dtype == torch.bfloat16
