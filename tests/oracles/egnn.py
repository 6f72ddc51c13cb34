"""EGNN as its equations are written: edge by edge, with every vector that a network reads put together."""

import math

import networkx
import torch
from torch import Tensor

from molspectra.encoders import AtomFeatures
from molspectra.encoders.egnn.model import EGNN


def explicit_egnn(
    encoder: EGNN, z: Tensor, pos: Tensor, batch: Tensor, bond_index: Tensor | None = None
) -> tuple[AtomFeatures, Tensor]:
    """Compute what `encoder.move` should return in its default arithmetic: features and positions, from its weights."""
    num_atoms = len(z)
    graph = networkx.Graph([] if bond_index is None else bond_index.T.tolist())
    graph.add_nodes_from(range(num_atoms))
    hops = dict(networkx.all_pairs_shortest_path_length(graph, cutoff=encoder.max_hops))

    damping = {}
    for i in range(num_atoms):
        for j in range(num_atoms):
            if i != j and batch[i] == batch[j]:
                r = (pos[i] - pos[j]).norm()
                if r < encoder.cutoff:
                    damping[i, j] = 0.5 * (torch.cos(math.pi * r / encoder.cutoff) + 1)
    total = [1 + sum(c for (k, _), c in damping.items() if k == i) for i in range(num_atoms)]

    h, x = [encoder.embedding.weight[element] for element in z], list(pos)
    for number, layer in enumerate(encoder.layers):
        normed = [layer.norm(row) for row in h]
        messages = {}
        for i, j in damping:
            square = (x[i] - x[j]) @ (x[i] - x[j])
            read = [normed[i], normed[j], torch.log(1 + square).reshape(1)]
            if encoder.max_hops:
                one_hot = torch.zeros(encoder.max_hops + 1, dtype=pos.dtype)
                one_hot[hops[i].get(j, 0)] = 1
                read.append(one_hot)
            m = layer.message_norm(layer.edge_mlp(layer.edge_in(torch.cat(read))))
            if layer.attention is not None:
                m = m * layer.attention(m)
            messages[i, j] = damping[i, j] * m
        zero = torch.zeros_like(h[0])
        heard = [sum((m for (k, _), m in messages.items() if k == i), zero) for i in range(num_atoms)]
        h = [h[i] + layer.node_mlp(torch.cat([normed[i], heard[i] / total[i] ** 0.5])) for i in range(num_atoms)]
        if encoder.moves[number]:
            moved = list(x)
            for (i, j), m in messages.items():
                moved[i] = moved[i] + damping[i, j] / total[i] * (x[i] - x[j]) * layer.coord_mlp(m)
            x = moved

    vectors = [(x[i] - pos[i])[:, None].expand(3, len(h[0])) for i in range(num_atoms)]
    for (i, j), m in messages.items():
        edge_vec = x[j] - x[i]
        vectors[i] = vectors[i] + torch.outer(edge_vec / (1 + edge_vec.norm()), m) / total[i] ** 0.5
    scalars = torch.stack([encoder.out_norm(row) for row in h])
    return AtomFeatures(scalars, torch.stack(vectors)), torch.stack(x)
