"""Small models of PyG, their edges by a double loop, and a check of gradients."""

import copy
import functools

import torch
from torch import nn
from torch_geometric.nn.models import DimeNetPlusPlus, SchNet, ViSNet

from molspectra.testing import by_degree, random_molecules


def schnet(**changes):
    return SchNet(**{"hidden_channels": 16, "num_filters": 16, "num_interactions": 2, "num_gaussians": 8, **changes})


@functools.cache
def new_dimenet(**changes):
    sizes = {"hidden_channels": 16, "out_channels": 1, "num_blocks": 2, "int_emb_size": 8, "basis_emb_size": 4}
    return DimeNetPlusPlus(**{**sizes, "out_emb_channels": 16, "num_spherical": 4, "num_radial": 3, **changes})


def dimenet(**changes):
    model = copy.deepcopy(new_dimenet(**changes))  # its basis is derived by computer algebra, which takes seconds
    model.reset_parameters()
    return model


def visnet(**changes):
    return ViSNet(**{"hidden_channels": 16, "num_layers": 3, "num_heads": 4, "num_rbf": 8, **changes})


def as_trained(model):
    """With biases that are not 0, as those of a new model are."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model


def explicit_graph(cutoff):
    """Pairs by a double loop over atoms."""

    def interaction_graph(pos, batch):
        n = len(pos)
        pairs = [
            (j, i)
            for i in range(n)
            for j in range(n)
            if i != j and batch[i] == batch[j] and (pos[i] - pos[j]).norm() < cutoff
        ]
        source, target = torch.tensor(pairs).reshape(-1, 2).t()
        return torch.stack([source, target]), (pos[source] - pos[target]).norm(dim=1)

    return interaction_graph


def assert_all_have_gradients(encoder):
    atoms = encoder(*random_molecules((5, 8)))
    sum((features * torch.randn_like(features)).sum() for features in by_degree(atoms)).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []
