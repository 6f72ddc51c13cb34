"""Blocks of edges, and the messages along those of one block."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

# Pairs × channels of a block. On the CPU its tensors fit into the cache; on an accelerator the memory is
# bounded by some 30 times this many numbers.
_SIZE = {"cpu": 1 << 16}
_SIZE_ELSEWHERE = 1 << 23


class Neighborhood(NamedTuple):
    """The pairs of atoms within the cutoff, and what a layer reads of their distances."""

    pairs: Int[Tensor, "2 pairs"]
    """Atoms i and j."""
    direction: Float[Tensor, "pairs 3"]
    """Unit vectors from i to j."""
    basis: Float[Tensor, "pairs num_rbf"]
    """Radial basis of the distances."""
    envelope: Float[Tensor, "pairs 1"]
    """C(r_ij)."""
    own_basis: Float[Tensor, "1 num_rbf"]
    """Radial basis at distance 0: each atom is its own neighbour, too."""


class Filters(NamedTuple):
    """The learned functions of the distance, W φ + b before the SiLU."""

    weight: Float[Tensor, "filters num_rbf"]
    """(4F, K); F rows each for the keys, s⁰, s² and s¹."""
    bias: Float[Tensor, " filters"]


class Attention(NamedTuple):
    """What is constant of the attention; see `pair_messages`."""

    num_heads: int
    damped: bool


class Operands(NamedTuple):
    """All tensors that messages are made of, in a row; see `pair_messages`, `Filters` and `Neighborhood`."""

    query: Tensor
    key_value: Tensor
    moved: Tensor
    weight: Tensor
    bias: Tensor
    pairs: Tensor
    direction: Tensor
    basis: Tensor
    envelope: Tensor
    own_basis: Tensor


class Sums(NamedTuple):
    """Messages summed at their targets, or what belongs to each of these sums."""

    scalars: Tensor  # (N, F)
    vectors: Tensor  # (N, 3, F)


class Block(NamedTuple):
    """Edges that share radial filters: k edges for each of c filters."""

    chosen: slice | None
    """The c pairs they are made of; None for atoms as their own neighbours."""
    target: Tensor  # (k, c)
    source: Tensor  # (k, c)
    direction: Tensor  # (k, c, 3), from target to source
    basis: Tensor  # (c, K)
    envelope: Tensor  # (c, 1)


class Edges(NamedTuple):
    """What the messages of a block are made of: operands at the ends of its edges, and the filters'."""

    query: Tensor  # (k, c, F)
    key_value: Tensor  # (k, c, 3F)
    moved: Tensor  # (k, c, 3, F)
    weight: Tensor  # (4F, K)
    bias: Tensor  # (4F)
    direction: Tensor  # (k, c, 3)
    basis: Tensor  # (c, K)
    envelope: Tensor  # (c, 1)


def in_one_block(operands: Operands) -> Iterator[Block]:
    """All pairs at once, then all atoms."""
    yield _pairs(operands, slice(None))
    yield _loops(operands, 0, len(operands.query))


def in_blocks(operands: Operands) -> Iterator[Block]:
    """All pairs, then all atoms, as many at a time as the cache holds."""
    num_atoms, channels = operands.query.shape
    num_pairs = operands.pairs.shape[1]
    size = max(_SIZE.get(operands.pairs.device.type, _SIZE_ELSEWHERE) // channels, 1)
    for start in range(0, num_pairs, size):
        yield _pairs(operands, slice(start, min(start + size, num_pairs)))
    for start in range(0, num_atoms, 2 * size):
        yield _loops(operands, start, min(start + 2 * size, num_atoms))


def _pairs(operands: Operands, chosen: slice) -> Block:
    """Pairs, in both directions: k = 2."""
    pairs, direction = operands.pairs[:, chosen], operands.direction[chosen]
    both_ways = torch.stack([direction, -direction])
    return Block(chosen, pairs, pairs.flip(0), both_ways, operands.basis[chosen], operands.envelope[chosen])


def _loops(operands: Operands, first: int, stop: int) -> Block:
    """Atoms as their own neighbours: c = 1."""
    atoms = torch.arange(first, stop, device=operands.pairs.device).unsqueeze(1)
    own = operands.own_basis
    return Block(None, atoms, atoms, own.new_zeros(1, 1, 3), own, own.new_ones(1, 1))


def by_heads(channels: Tensor, num_heads: int) -> Tensor:
    """(..., F) as (..., H, F / H)."""
    return channels.unflatten(-1, (num_heads, -1))


def gather(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index], (k, c, ...); by index_select, whose backward is one index_add."""
    return rows.index_select(0, index.flatten()).unflatten(0, index.shape)


def edges_of(block: Block, operands: Operands) -> Edges:
    """The operands of a block's messages."""
    return Edges(
        gather(operands.query, block.target),
        gather(operands.key_value, block.source),
        gather(operands.moved, block.source),
        operands.weight,
        operands.bias,
        block.direction,
        block.basis,
        block.envelope,
    )


def messages(attention: Attention, edges: Edges) -> tuple[Tensor, Tensor]:
    """Scalar (k, c, F) and vector messages (k, c, 3, F) along the edges of a block."""
    channels = edges.query.shape[-1]
    filtering = F.silu(F.linear(edges.basis, edges.weight, edges.bias))
    key_filter, value_filter = filtering.tensor_split([channels], dim=-1)
    key, value = edges.key_value.tensor_split([channels], dim=-1)
    a = F.silu(by_heads(edges.query * key * key_filter, attention.num_heads).sum(dim=-1, keepdim=True))
    if attention.damped:
        a = a * edges.envelope.unsqueeze(-1)
    else:
        value_filter = value_filter * edges.envelope
    value_filter, moved_filter = value_filter.tensor_split([2 * channels], dim=-1)
    s0, s2 = (value * value_filter).chunk(2, dim=-1)
    moved = edges.moved * moved_filter.unsqueeze(-2)
    vector_message = torch.addcmul(moved, s2.unsqueeze(-2), edges.direction.unsqueeze(-1))
    return (by_heads(s0, attention.num_heads) * a).flatten(-2), vector_message


def sum_messages(attention: Attention, operands: Operands, blocks: Iterable[Block]) -> Sums:
    """The messages of all blocks, summed at their targets."""
    sums = Sums(torch.zeros_like(operands.moved[:, 0]), torch.zeros_like(operands.moved))
    for block in blocks:
        target = block.target.flatten()
        for rows, message in zip(sums, messages(attention, edges_of(block, operands)), strict=True):
            rows.index_add_(0, target, message.flatten(0, 1).to(rows.dtype))
    return sums
