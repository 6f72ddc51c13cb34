"""Blocks of edges, small enough for the cache."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from molspectra.encoders.equivariant_transformer.inputs import Inputs

# Pairs × channels of a block. On the CPU its tensors fit into the cache. On an accelerator the limit bounds the memory:
# the intermediates of a block hold about 30 times as many numbers.
_SIZE = {"cpu": 1 << 16}
_SIZE_ELSEWHERE = 1 << 23


class Block(NamedTuple):
    """Edges that share radial filters: k edges for each of c filters.

    In a block of pairs, k = 2: a filter depends on the distance alone, so that both directions of a pair share it. In a
    block of self-loops, c = 1: all atoms are at distance 0 from themselves.
    """

    rows: slice | None
    """The c pairs of the block. None for self-loops."""
    target: Tensor
    """Atoms that receive the messages, (k, c)."""
    source: Tensor
    """Atoms that send them, (k, c)."""
    direction: Tensor
    """Unit vectors from target to source, (k, c, 3)."""
    basis: Tensor
    """Radial basis, (c, K)."""
    envelope: Tensor
    """Cutoff envelope, (c, 1)."""


def all_at_once(inputs: Inputs) -> Iterator[Block]:
    """Yield one block of all pairs, then one of all self-loops."""
    yield _pairs(inputs, slice(None))
    yield _self_loops(inputs, 0, inputs.query.shape[0])


def in_blocks(inputs: Inputs) -> Iterator[Block]:
    """Yield all pairs, then all self-loops, in blocks that fit into the cache."""
    num_atoms, channels = inputs.query.shape
    num_pairs = inputs.pairs.shape[1]
    size = max(_SIZE.get(inputs.pairs.device.type, _SIZE_ELSEWHERE) // channels, 1)
    for start in range(0, num_pairs, size):
        yield _pairs(inputs, slice(start, min(start + size, num_pairs)))
    # A pair is two edges, a self-loop one.
    for start in range(0, num_atoms, 2 * size):
        yield _self_loops(inputs, start, min(start + 2 * size, num_atoms))


def _pairs(inputs: Inputs, rows: slice) -> Block:
    """Return the edges i → j and j → i of some pairs."""
    pairs, direction = inputs.pairs[:, rows], inputs.direction[rows]
    # Target i sees its source j along u_ij, and target j sees i along -u_ij.
    both_ways = torch.stack([direction, -direction])
    return Block(rows, pairs, pairs.flip(0), both_ways, inputs.basis[rows], inputs.envelope[rows])


def _self_loops(inputs: Inputs, first: int, stop: int) -> Block:
    """Return the edges of some atoms to themselves, without direction and with C(0) = 1."""
    atoms = torch.arange(first, stop, device=inputs.pairs.device).unsqueeze(1)
    basis = inputs.self_basis
    return Block(None, atoms, atoms, basis.new_zeros(1, 1, 3), basis, basis.new_ones(1, 1))
