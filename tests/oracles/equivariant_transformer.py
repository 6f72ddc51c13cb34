"""Equivariant transformer as its equations are written, with every quantity of every edge and whitening by SVD."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders import AtomFeatures, EquivariantTransformer
from molspectra.encoders.equivariant_transformer import WhitenedVectorNorm


def explicit_transformer(encoder: EquivariantTransformer, z: Tensor, pos: Tensor, batch: Tensor) -> AtomFeatures:
    """Compute the features that `encoder` should return, from its weights. Its vector norm is "whitened" or None."""
    num_atoms = len(z)
    target, source = ((batch[:, None] == batch[None]) & (torch.cdist(pos, pos) < encoder.cutoff)).nonzero().unbind(1)
    displacement = pos[source] - pos[target]
    itself = source == target
    r = torch.where(itself, 0.0, torch.linalg.vector_norm(displacement + itself[:, None], dim=1))
    u = displacement / (r + itself)[:, None]
    damping = 0.5 * (torch.cos(math.pi * r / encoder.cutoff) + 1)
    basis = encoder.radial_basis
    rbf = damping[:, None] * torch.exp(
        -basis.betas * (torch.exp(-5 / encoder.cutoff * r)[:, None] - basis.centers) ** 2
    )

    def aggregate(messages: Tensor) -> Tensor:
        return messages.new_zeros(num_atoms, *messages.shape[1:]).index_add(0, target, messages)

    neighbors = encoder.neighbor_embedding
    weights = neighbors.distance_proj(rbf) * damping[:, None] * ~itself[:, None]
    around = aggregate(neighbors.embedding(z)[source] * weights)
    x = neighbors.combine(torch.cat([encoder.embedding(z), around], dim=1))
    vec = x.new_zeros(num_atoms, 3, x.shape[1])

    for index, layer in enumerate(encoder.layers):
        heads = layer.num_heads
        h = layer.norm(x)
        q, k = (proj(h).reshape(num_atoms, heads, -1) for proj in (layer.q_proj, layer.k_proj))
        v = layer.v_proj(h).reshape(num_atoms, heads, -1)
        dk = F.silu(layer.dk_proj(rbf)).reshape(len(r), heads, -1)
        dv = F.silu(layer.dv_proj(rbf)).reshape(len(r), heads, -1)
        a = F.silu(torch.einsum("ehd,ehd,ehd->eh", q[target], k[source], dk)) * damping[:, None]
        s0, s1, s2 = (v[source] * dv).chunk(3, dim=2)
        along = 1.0 if layer.as_released else damping[:, None, None]
        gathered = aggregate((a[:, :, None] * s0).flatten(1))
        vector_messages = vec[source] * s1.flatten(1)[:, None] + u[:, :, None] * s2.flatten(1)[:, None]
        gathered_vectors = aggregate(along * vector_messages)
        o1, o2, o3 = layer.o_proj(gathered).chunk(3, dim=1)
        p1, p2, p3 = layer.vec_proj(vec).chunk(3, dim=2)
        x = x + torch.einsum("nxc,nxc->nc", p1, p2) * o2 + o3
        vec = vec + p3 * o1[:, None] + gathered_vectors
        if len(encoder.scalar_norms):
            x, vec = encoder.scalar_norms[index](x), whiten_by_svd(encoder.vector_norms[index], vec)
    return AtomFeatures(encoder.out_norm(x), whiten_by_svd(encoder.out_vector_norm, vec))


def whiten_by_svd(norm: torch.nn.Module, vec: Tensor) -> Tensor:
    """Compute (Σ + ε)^{-1/2} (v - mean) by the singular value decomposition of Σ + ε in float64."""
    if not isinstance(norm, WhitenedVectorNorm):
        return vec
    centered = vec.double() - vec.double().mean(dim=2, keepdim=True)
    epsilon = norm.eps * torch.diag(torch.tensor([2.0, 3.0, 4.0] if norm.as_released else [1.0] * 3).double())
    left, singular, _ = torch.linalg.svd(centered @ centered.mT / vec.shape[2] + epsilon)
    return (left @ ((left.mT @ centered) / singular.sqrt()[:, :, None])).to(vec.dtype) * norm.weight
