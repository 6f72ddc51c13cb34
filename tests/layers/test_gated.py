"""Norms of vectors, and the gated equivariant block."""

import torch

from molspectra.layers import GatedEquivariantBlock
from molspectra.layers.gated import plain_norm, smooth_norm


def test_smooth_norm_has_finite_second_derivatives_at_zero_where_the_plain_one_jumps():
    zero = torch.zeros(1, 3, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: smooth_norm(v, eps=1e-2), zero)
    (slope,) = torch.autograd.grad(plain_norm(zero).sum(), zero, create_graph=True)
    assert slope.eq(0).all()


def test_gated_block_commutes_with_rotation():
    block = GatedEquivariantBlock(6, 4).double()
    scalars, vectors = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 3, 6, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    straight, turned = block(scalars, vectors), block(scalars, turn @ vectors)
    torch.testing.assert_close(turned[0], straight[0])
    torch.testing.assert_close(turned[1], turn @ straight[1])
