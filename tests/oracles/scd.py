"""The released conditioned transformer of SCD as its equations are written, from the tensors of a published file."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra.encoders import AtomFeatures


class PublishedConditionedTransformer(nn.Module):
    """Equivariant transformer whose layers are modulated by a context, with the released norm of vectors or without.

    Args:
        state: Tensors of the released model, `rep_model.…`.
        num_heads: Number of heads.
        vector_norm: Apply v ← tanh(a v) γ + β to every component of the vectors, as released.
        cutoff: Å.
    """

    def __init__(self, state: Mapping[str, Tensor], num_heads: int, vector_norm: bool, cutoff: float = 5.0) -> None:
        super().__init__()
        prefix = "rep_model."
        named = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        self.weights = nn.ParameterDict(
            {key.replace(".", "|"): nn.Parameter(value.double()) for key, value in named.items()}
        )
        self.num_layers = len({key.split(".")[1] for key in named if key.startswith("attention_layers")})
        self.num_heads = num_heads
        self.vector_norm = vector_norm
        self.cutoff = cutoff

    def weight(self, name: str) -> Tensor:
        return self.weights[name.replace(".", "|")]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weight(f"{name}.weight"), self.weights.get(f"{name}.bias".replace(".", "|")))

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight(f"{name}.weight"), self.weight(f"{name}.bias"))

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor, context: Tensor) -> AtomFeatures:
        near = (batch[:, None] == batch[None]) & (torch.cdist(pos, pos) < self.cutoff)
        target, source = near.nonzero().unbind(1)
        displacement = pos[source] - pos[target]
        itself = source == target
        r = torch.where(itself, 0.0, torch.linalg.vector_norm(displacement + itself[:, None], dim=1))
        u = displacement / (r + 1e-8)[:, None]
        damping = 0.5 * (torch.cos(math.pi * r / self.cutoff) + 1)
        means, betas = (self.weight(f"distance_expansion.{name}") for name in ("means", "betas"))
        rbf = damping[:, None] * torch.exp(-betas * (torch.exp(-5 / self.cutoff * r)[:, None] - means) ** 2)

        def aggregate(messages: Tensor) -> Tensor:
            return messages.new_zeros(len(z), *messages.shape[1:]).index_add(0, target, messages)

        nearby = "neighbor_embedding_module"
        filters = self.linear(f"{nearby}.distance_proj", rbf) * damping[:, None] * ~itself[:, None]
        around = aggregate(self.weight(f"{nearby}.embedding.weight")[z][source] * filters)
        x = self.linear(f"{nearby}.combine", torch.cat([self.weight("embedding.weight")[z], around], dim=1))
        v = x.new_zeros(len(z), 3, x.shape[1])
        for index in range(self.num_layers):
            layer = f"attention_layers.{index}"
            h, gate = self.modulated(f"{layer}.conditional_ln", x, context)
            if self.vector_norm:
                names = ("norm_alpha", "norm_gamma", "norm_beta")
                scale, gamma, beta = (self.weight(f"{layer}.vec_norm.{name}") for name in names)
                v_in = torch.tanh(scale * v) * gamma + beta
            else:
                v_in = v
            q, k, values = (self.in_heads(f"{layer}.{name}_proj", h) for name in "qkv")
            dk, dv = (F.silu(self.in_heads(f"{layer}.{name}_proj", rbf)) for name in ("dk", "dv"))
            a = F.silu((q[target] * k[source] * dk).sum(dim=2))
            # The cutoff damps the values instead of the attention.
            s0, s1, s2 = (values[source] * damping[:, None, None] * dv).chunk(3, dim=2)
            gathered = aggregate((a[:, :, None] * s0).flatten(1))
            s1, s2 = s1.flatten(1)[:, None], s2.flatten(1)[:, None]
            gathered_vectors = aggregate(v_in[source] * s1 + u[:, :, None] * s2)
            o1, o2, o3 = self.linear(f"{layer}.o_proj", gathered).chunk(3, dim=1)
            p1, p2, p3 = self.linear(f"{layer}.vec_proj", v_in).chunk(3, dim=2)
            x = self.norm(f"x_post_norm.{index}", x + ((p1 * p2).sum(dim=1) * o2 + o3) * gate)
            v = v + p3 * o1[:, None] + gathered_vectors
        return AtomFeatures(x, v)

    def in_heads(self, name: str, x: Tensor) -> Tensor:
        return self.linear(name, x).reshape(len(x), self.num_heads, -1)

    def modulated(self, name: str, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalized scalars, shifted and scaled by the context, and the gate of the layer."""
        u = self.norm(f"{name}.x_norm", x)
        hidden = F.silu(self.linear(f"{name}.fc.0", torch.cat([context, u.detach()], dim=1)))
        shift, scale, gate = self.linear(f"{name}.fc.3", self.norm(f"{name}.fc.2", hidden)).chunk(3, dim=1)
        alpha = self.weight(f"{name}.x_modulate.alpha").abs().clamp(min=1e-5)
        return torch.tanh(alpha * u) * (1 + scale) / alpha + shift, torch.tanh(gate * self.weight(f"{name}.alpha_x"))
