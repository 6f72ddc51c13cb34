"""Messages along both directions of each pair of neighbours, the hot path of the equivariant transformer.

What the messages of a layer need is small: a row an atom, and the distances. What they are made of is not: a dozen
tensors of (edges × channels). So pairs are taken in blocks that fit into the cache, none of these tensors is kept, and
the backward, written out, makes them again. Both directions of a pair share one radial filter.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

# Pairs × channels of a block. On the CPU its tensors fit into the cache; on an accelerator the memory is
# bounded by some 30 times this many numbers.
_BLOCK = {"cpu": 1 << 16}
_BLOCK_ELSEWHERE = 1 << 23


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


def pair_messages(
    query: Float[Tensor, "atoms channels"],
    key_value: Float[Tensor, "atoms key_and_values"],
    moved: Float[Tensor, "atoms 3 channels"],
    filters: Filters,
    neighborhood: Neighborhood,
    num_heads: int,
    damp_attention: bool = False,
) -> tuple[Float[Tensor, "atoms channels"], Float[Tensor, "atoms 3 channels"]]:
    """X_i = Σ_j a_ij s⁰_ij and V_i = Σ_j vec_j ⊙ s¹_ij + u_ij ⊗ s²_ij, over the neighbours j of i and i itself.

    With a_ij = SiLU(Σ_d q_i k_j f^k_ij), a sum over the channels of a head, and s_ij = v_j ⊙ C(r_ij) f^v_ij, where
    f = SiLU(W φ_ij + b). All derivatives exist; those of third order are taken from the plain operations. So is
    everything in a compiled graph, where the compiler does the fusing.

    Args:
        query: q, (N, F).
        key_value: k, v⁰ and v², one after the other, (N, 3F).
        moved: vec ⊙ v¹, (N, 3, F): what belongs to an atom alone is multiplied once an atom, not once an edge.
        filters: The radial filters.
        neighborhood: Pairs and distances.
        num_heads: Number of heads, which share out the channels.
        damp_attention: Multiply C into a_ij rather than into s_ij, as the released code does.

    Returns:
        X (N, F) and V (N, 3, F).
    """
    settings = num_heads, damp_attention
    tensors = query, key_value, moved, *filters, *neighborhood
    if torch.compiler.is_compiling():
        return _plain(settings, *tensors)
    return _InBlocks.apply(settings, *tensors)


class _Block(NamedTuple):
    """Edges that share radial filters: k edges for each of c filters."""

    target: Tensor  # (k, c)
    source: Tensor  # (k, c)
    direction: Tensor  # (k, c, 3), from target to source
    basis: Tensor  # (c, K)
    envelope: Tensor  # (c, 1)


def _pairs(neighborhood: Neighborhood, chosen: slice = slice(None)) -> _Block:
    """Pairs, in both directions: k = 2."""
    pairs, direction = neighborhood.pairs[:, chosen], neighborhood.direction[chosen]
    return _Block(
        pairs,
        pairs.flip(0),
        torch.stack([direction, -direction]),
        neighborhood.basis[chosen],
        neighborhood.envelope[chosen],
    )


def _loops(neighborhood: Neighborhood, first: int, stop: int) -> _Block:
    """Atoms as their own neighbours: c = 1."""
    atoms = torch.arange(first, stop, device=neighborhood.pairs.device).unsqueeze(1)
    own = neighborhood.own_basis
    return _Block(atoms, atoms, own.new_zeros(1, 1, 3), own, own.new_ones(1, 1))


def _blocks(neighborhood: Neighborhood, num_atoms: int, channels: int) -> Iterator[tuple[slice | None, _Block]]:
    """All edges in blocks, with the pairs that each is made of; None for atoms as their own neighbours."""
    size = max(_BLOCK.get(neighborhood.pairs.device.type, _BLOCK_ELSEWHERE) // channels, 1)
    num_pairs = neighborhood.pairs.shape[1]
    for start in range(0, num_pairs, size):
        chosen = slice(start, min(start + size, num_pairs))
        yield chosen, _pairs(neighborhood, chosen)
    for start in range(0, num_atoms, 2 * size):
        yield None, _loops(neighborhood, start, min(start + 2 * size, num_atoms))


def _heads(channels: Tensor, num_heads: int) -> Tensor:
    return channels.unflatten(-1, (num_heads, -1))


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index], (k, c, ...); by index_select, whose backward is one index_add."""
    return rows.index_select(0, index.flatten()).unflatten(0, index.shape)


def _messages(
    settings: tuple[int, bool],
    query: Tensor,
    key_value: Tensor,
    moved: Tensor,
    filtering: Tensor,
    direction: Tensor,
    envelope: Tensor,
) -> tuple[Tensor, Tensor]:
    """Scalar (k, c, F) and vector messages (k, c, 3, F) from what is at the ends of edges, and f (c, 4F)."""
    (num_heads, damp_attention), channels = settings, query.shape[-1]
    key_filter, value_filter = filtering.tensor_split([channels], dim=-1)
    key, value = key_value.tensor_split([channels], dim=-1)
    attention = F.silu(_heads(query * key * key_filter, num_heads).sum(dim=-1, keepdim=True))
    if damp_attention:
        attention = attention * envelope.unsqueeze(-1)
    else:
        value_filter = value_filter * envelope
    value_filter, moved_filter = value_filter.tensor_split([2 * channels], dim=-1)
    s0, s2 = (value * value_filter).chunk(2, dim=-1)
    vector_message = torch.addcmul(moved * moved_filter.unsqueeze(-2), s2.unsqueeze(-2), direction.unsqueeze(-1))
    return (_heads(s0, num_heads) * attention).flatten(-2), vector_message


def _add_messages(
    settings: tuple[int, bool],
    block: _Block,
    query: Tensor,
    key_value: Tensor,
    moved: Tensor,
    weight: Tensor,
    bias: Tensor,
    scalar_sum: Tensor,
    vector_sum: Tensor,
) -> None:
    """Add the messages of a block of edges to the sums (N, F) and (N, 3, F), in place."""
    message, vector_message = _messages(
        settings,
        _gather(query, block.target),
        _gather(key_value, block.source),
        _gather(moved, block.source),
        F.silu(F.linear(block.basis, weight, bias)),
        block.direction,
        block.envelope,
    )
    target = block.target.flatten()
    scalar_sum.index_add_(0, target, message.flatten(0, 1).to(scalar_sum.dtype))
    vector_sum.index_add_(0, target, vector_message.flatten(0, 1).to(vector_sum.dtype))


def _plain(settings: tuple[int, bool], *tensors: Tensor) -> tuple[Tensor, Tensor]:
    """All edges at once, in operations that autograd and the compiler know."""
    query, key_value, moved, weight, bias, *rest = tensors
    neighborhood = Neighborhood(*rest)
    scalar_sum, vector_sum = torch.zeros_like(moved[:, 0]), torch.zeros_like(moved)
    for block in (_pairs(neighborhood), _loops(neighborhood, 0, query.shape[0])):
        _add_messages(settings, block, query, key_value, moved, weight, bias, scalar_sum, vector_sum)
    return scalar_sum, vector_sum


class _InBlocks(torch.autograd.Function):
    """`_plain`, block by block; keeps its arguments and nothing else."""

    @staticmethod
    def forward(ctx: Any, settings: tuple[int, bool], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        query, key_value, moved, weight, bias, *rest = tensors
        scalar_sum, vector_sum = torch.zeros_like(moved[:, 0]), torch.zeros_like(moved)
        for _, block in _blocks(Neighborhood(*rest), *query.shape):
            _add_messages(settings, block, query, key_value, moved, weight, bias, scalar_sum, vector_sum)
        ctx.save_for_backward(*tensors)
        ctx.settings = settings
        return scalar_sum, vector_sum

    @staticmethod
    def backward(ctx: Any, to_scalars: Tensor, to_vectors: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        return None, *_Gradients.apply(ctx.settings, needed, to_scalars, to_vectors, *ctx.saved_tensors)


class _Gradients(torch.autograd.Function):
    """The backward of `_InBlocks`, a function in its own right: training on forces differentiates it in its turn."""

    @staticmethod
    def forward(
        ctx: Any,
        settings: tuple[int, bool],
        needed: tuple[bool, ...],
        to_scalars: Tensor,
        to_vectors: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor | None, ...]:
        geometry = any(needed[6:9])  # where positions are trained on, or forces are derived
        grads = [
            torch.zeros_like(tensor if index < 5 or geometry else tensor[:0], dtype=to_vectors.dtype)
            for index, tensor in enumerate(tensors)
        ]
        for chosen, block in _blocks(Neighborhood(*tensors[5:]), *tensors[0].shape):
            _add_gradients(settings, block, chosen, tensors, to_scalars, to_vectors, grads)
        ctx.save_for_backward(to_scalars, to_vectors, *tensors)
        ctx.set_materialize_grads(False)
        ctx.settings = settings
        ctx.needed = needed
        return tuple(g.to(t.dtype) if need else None for g, t, need in zip(grads, tensors, needed, strict=True))

    @staticmethod
    def backward(ctx: Any, *directions: Tensor | None) -> tuple[Tensor | None, ...]:
        arguments, needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if all(direction is None for direction in directions):
            return None, None, *(None for _ in needed)
        if torch.is_grad_enabled():  # third derivatives: by autograd, from the plain operations
            # Of aliases: the gradients of the sums depend on the other arguments, which is not to be followed here.
            arguments = [argument.view_as(argument) for argument in arguments]
            inputs = [tensor for tensor, need in zip(arguments[2:], ctx.needed, strict=True) if need]
            grads = torch.autograd.grad(_plain(ctx.settings, *arguments[2:]), inputs, arguments[:2], create_graph=True)
            along = iter(grads)
            pairs = [(next(along), d) for d, need in zip(directions, ctx.needed, strict=True) if need]
            outputs, cotangents = zip(*((g, d) for g, d in pairs if d is not None), strict=True)
            wanted = [argument for argument, need in zip(arguments, needed, strict=True) if need]
            some = iter(torch.autograd.grad(outputs, wanted, cotangents, create_graph=True, allow_unused=True))
            return None, None, *(next(some) if need else None for need in needed)
        seconds = [torch.zeros_like(argument, dtype=arguments[1].dtype) for argument in arguments]
        for chosen, block in _blocks(Neighborhood(*arguments[7:]), *arguments[2].shape):
            _add_second_gradients(ctx.settings, block, chosen, arguments, directions, seconds)
        return None, None, *(s.to(a.dtype) if n else None for s, a, n in zip(seconds, arguments, needed, strict=True))


def _add_gradients(
    settings: tuple[int, bool],
    block: _Block,
    chosen: slice | None,
    tensors: tuple[Tensor, ...],
    to_scalars: Tensor,
    to_vectors: Tensor,
    grads: list[Tensor],
) -> None:
    """The backward of a block of edges: add to `grads`, one for each of `tensors`, what it makes of those of the sums.

    Args:
        settings: See `_messages`.
        block: The edges.
        chosen: The pairs they are made of.
        tensors: The arguments of `_plain`.
        to_scalars: Gradient of the sums of messages, (N, F).
        to_vectors: Gradient of the sums of vector messages, (N, 3, F).
        grads: Gradients of `tensors`, added to in place; those of distances and directions without rows if not wanted.
    """
    num_heads, damp_attention = settings
    query, key_value, moved, weight, bias, *_ = tensors
    of_query, of_key_value, of_moved, of_weight, of_bias, _, of_direction, of_basis, of_envelope, of_own_basis = grads
    channels = query.shape[1]
    target, source = block.target.flatten(), block.source.flatten()
    envelope = block.envelope.unsqueeze(-1)

    # What the forward has made; the names are those of the equations.
    inner = F.linear(block.basis, weight, bias)
    sigmoid = inner.sigmoid()
    filtering = inner * sigmoid
    key_filter, value_filter = filtering.tensor_split([channels], dim=-1)
    damped = value_filter if damp_attention else value_filter * block.envelope
    q, vec = _gather(query, block.target), _gather(moved, block.source)
    k, v = _gather(key_value, block.source).tensor_split([channels], dim=-1)
    qk, s = q * k, v * damped[:, : 2 * channels]
    scores = _heads(qk * key_filter, num_heads).sum(dim=-1, keepdim=True)
    a = F.silu(scores)
    s0, s2 = s.chunk(2, dim=-1)

    # From the sums to attention and values.
    to_message, to_vector = _gather(to_scalars, block.target), _gather(to_vectors, block.target)
    to_a = _heads(to_message * s0, num_heads).sum(dim=-1, keepdim=True)
    to_scores = torch.ops.aten.silu_backward(to_a * envelope if damp_attention else to_a, scores)
    to_s = torch.empty_like(s)
    to_s0, to_s2 = to_s.chunk(2, dim=-1)
    torch.mul(_heads(to_message, num_heads), a * envelope if damp_attention else a, out=_heads(to_s0, num_heads))
    _contract(to_vector, block.direction.unsqueeze(-1), out=to_s2)

    # From there to the ends of the edges.
    to_key_value = torch.empty((*block.target.shape, 3 * channels), dtype=s.dtype, device=s.device)
    to_k, to_v = to_key_value.tensor_split([channels], dim=-1)
    torch.mul(_heads(q * key_filter, num_heads), to_scores, out=_heads(to_k, num_heads))
    torch.mul(to_s, damped[:, : 2 * channels], out=to_v)
    of_query.index_add_(0, target, _by_head(k * key_filter, to_scores).flatten(0, 1))
    of_key_value.index_add_(0, source, to_key_value.flatten(0, 1))
    of_moved.index_add_(0, source, (to_vector * damped[:, None, 2 * channels :]).flatten(0, 1))

    # And to the filters that edges share.
    to_filters = torch.empty_like(inner, dtype=s.dtype)
    to_key_filter, to_damped = to_filters.tensor_split([channels], dim=-1)
    torch.sum(_by_head(qk, to_scores), dim=0, out=to_key_filter)
    _sum_products(to_s, v, out=to_damped[:, : 2 * channels])
    _sum_products(to_vector, vec, out=to_damped[:, 2 * channels :])
    if len(of_own_basis) and chosen is not None:
        there, back = (to_vector * s2.unsqueeze(-2)).sum(dim=-1)
        of_direction[chosen] += there - back
        if damp_attention:
            of_envelope[chosen] += (to_a * a).sum(dim=(0, 2))
        else:
            of_envelope[chosen] += (to_damped * value_filter).sum(dim=-1, keepdim=True)
    if not damp_attention:
        to_damped *= block.envelope
    to_inner = (to_filters * torch.addcmul(sigmoid, filtering, 1 - sigmoid)).to(inner.dtype)
    of_weight += to_inner.mT @ block.basis
    of_bias += to_inner.sum(dim=0)
    if len(of_own_basis):
        of_rows = of_own_basis if chosen is None else of_basis[chosen]
        of_rows += to_inner @ weight


def _add_second_gradients(
    settings: tuple[int, bool],
    block: _Block,
    chosen: slice | None,
    arguments: tuple[Tensor, ...],
    directions: tuple[Tensor | None, ...],
    seconds: list[Tensor],
) -> None:
    """The derivative of `_add_gradients` along `directions`, by autograd on the block's plain operations.

    Args:
        settings: See `_messages`.
        block: The edges.
        chosen: The pairs they are made of.
        arguments: The gradients of both sums, and the arguments of `_plain`.
        directions: For each of the gradients that `_add_gradients` gives, what it is multiplied by; None for 0.
        seconds: Gradients of `arguments`, added to in place.
    """
    to_scalars, to_vectors, query, key_value, moved, weight, bias, *_ = arguments
    target, source = block.target, block.source

    def at_edges(rows: tuple[Tensor | None, ...]) -> list[Tensor | None]:
        """What a block reads of rows like those of `_plain`'s arguments."""
        of_query, of_key_value, of_moved, of_weight, of_bias, _, of_direction, of_basis, of_envelope, of_own = rows
        ends = ((of_query, target), (of_key_value, source), (of_moved, source))
        gathered = [None if r is None else _gather(r, index) for r, index in ends]
        if chosen is None:
            return [*gathered, of_weight, of_bias, None, of_own, None]
        along = None if of_direction is None else of_direction[chosen]
        return [
            *gathered,
            of_weight,
            of_bias,
            None if along is None else torch.stack([along, -along]),
            None if of_basis is None else of_basis[chosen],
            None if of_envelope is None else of_envelope[chosen],
        ]

    ends = _gather(query, target), _gather(key_value, source), _gather(moved, source)
    with torch.enable_grad():
        leaves = [*ends, weight, bias, block.direction, block.basis, block.envelope]
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        upstream = [_gather(rows, target).detach().requires_grad_() for rows in (to_scalars, to_vectors)]
        q, kv, vec, w, b, direction, basis, envelope = leaves
        messages = _messages(settings, q, kv, vec, F.silu(F.linear(basis, w, b)), direction, envelope)
        moving = [(leaf, d) for leaf, d in zip(leaves, at_edges(directions), strict=True) if d is not None]
        if not moving:
            return
        grads = torch.autograd.grad(messages, [leaf for leaf, _ in moving], upstream, create_graph=True)
        inputs = [*upstream, *leaves]
        of = torch.autograd.grad(
            grads, inputs, [d.to(g.dtype) for g, (_, d) in zip(grads, moving, strict=True)], allow_unused=True
        )
    of_inputs = [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(of, inputs, strict=True)]
    for index, edges, ends_at in ((0, 0, target), (1, 1, target), (2, 2, target), (3, 3, source), (4, 4, source)):
        seconds[index].index_add_(0, ends_at.flatten(), of_inputs[edges].flatten(0, 1).to(seconds[index].dtype))
    seconds[5] += of_inputs[5]
    seconds[6] += of_inputs[6]
    if chosen is None:
        seconds[11] += of_inputs[8]
        return
    there, back = of_inputs[7]
    seconds[8][chosen] += there - back
    seconds[9][chosen] += of_inputs[8]
    seconds[10][chosen] += of_inputs[9]


def _by_head(channels: Tensor, weight: Tensor) -> Tensor:
    """Channels (k, c, F), times a weight a head, (k, c, H, 1)."""
    return (_heads(channels, weight.shape[-2]) * weight).flatten(-2)


def _sum_products(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Σ one · other over edges that share a filter, (k, c, F), and the Cartesian axis if there is one, (k, c, 3, F)."""
    if len(one) > 2:
        torch.sum(one * other, dim=(0, 2) if one.dim() == 4 else 0, out=out)
        return
    # A few terms without a tensor of the products.
    ones, others = ([x for edge in t for x in (edge.unbind(1) if t.dim() == 4 else (edge,))] for t in (one, other))
    torch.mul(ones[0], others[0], out=out)
    for factors in zip(ones[1:], others[1:], strict=True):
        out.addcmul_(*factors)


def _contract(one: Tensor, other: Tensor, out: Tensor) -> None:
    """Σ_x one_x other_x over the Cartesian axis; without a tensor of the products, this is twice as fast."""
    torch.mul(one[..., 0, :], other[..., 0, :], out=out)
    for x in (1, 2):
        out.addcmul_(one[..., x, :], other[..., x, :])
