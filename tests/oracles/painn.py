"""PaiNN as its equations are written: atom by atom, neighbor by neighbor."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from molspectra.encoders import AtomFeatures
from molspectra.encoders.painn.model import PaiNN


def explicit_painn(encoder: PaiNN, z: Tensor, pos: Tensor, batch: Tensor) -> AtomFeatures:
    """Compute the features that `encoder` should return, from its weights."""
    r_c, num_rbf = encoder.cutoff, encoder.radial_basis.num_rbf
    num_atoms = len(z)
    x = [encoder.embedding.weight[element] for element in z]
    v = [torch.zeros(3, encoder.out_channels, dtype=pos.dtype) for _ in z]
    for message, update in zip(encoder.messages, encoder.updates, strict=True):
        dx, dv = [], []
        for i in range(num_atoms):
            sum_x, sum_v = torch.zeros_like(x[i]), torch.zeros_like(v[i])
            for j in range(num_atoms):
                if i == j or batch[i] != batch[j]:
                    continue
                r = torch.linalg.vector_norm(pos[j] - pos[i])
                if r >= r_c:
                    continue
                damping = 0.5 * (torch.cos(math.pi * r / r_c) + 1)
                rbf = torch.stack([torch.sin(n * math.pi / r_c * r) / r for n in range(1, num_rbf + 1)])
                rbf = rbf * r_c / (num_rbf * math.pi)
                w = (message.filter_proj.weight @ rbf + message.filter_proj.bias) * damping
                hidden = F.silu(message.mlp[0].weight @ x[j] + message.mlp[0].bias)
                phi = message.mlp[2].weight @ hidden + message.mlp[2].bias
                for_x, for_vv, for_vs = (phi * w).split(encoder.out_channels)
                sum_x = sum_x + for_x
                sum_v = sum_v + for_vv * v[j] + torch.outer((pos[j] - pos[i]) / r, for_vs)
            dx.append(sum_x)
            dv.append(sum_v)
        x = [a + b for a, b in zip(x, dx, strict=True)]
        v = [a + b for a, b in zip(v, dv, strict=True)]
        for i in range(num_atoms):
            u_weight, v_weight = update.vector_proj.weight.split(encoder.out_channels)
            uv = torch.stack([u_weight @ component for component in v[i]])
            vv = torch.stack([v_weight @ component for component in v[i]])
            length = torch.sqrt((vv * vv).sum(dim=0) + 1e-6)
            hidden = F.silu(update.mlp[0].weight @ torch.cat([x[i], length]) + update.mlp[0].bias)
            a_ss, a_sv, a_vv = (update.mlp[2].weight @ hidden + update.mlp[2].bias).split(encoder.out_channels)
            x[i] = x[i] + a_ss + a_sv * torch.stack([uv[:, c] @ vv[:, c] for c in range(encoder.out_channels)])
            v[i] = v[i] + a_vv * uv
    return AtomFeatures(torch.stack(x), torch.stack(v))
