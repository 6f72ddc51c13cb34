"""
SpecFormer in your own graph network
====================================

A property from the bonds of a molecule and from its spectra, by a plain PyG network with SpecFormer beside it.
"""

# %%
# The network is an ordinary one: embeddings of elements, three convolutions over bonds, and a readout. SpecFormer adds
# the embedding of the spectra to the readout.

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINEConv, global_mean_pool
from torch_geometric.utils import to_undirected

import molspectra as ms


class YourGNN(nn.Module):
    def __init__(self, specformer=None, channels=64):
        super().__init__()
        self.elements = nn.Embedding(119, channels)
        self.orders = nn.Linear(1, channels)
        self.convolutions = nn.ModuleList(
            GINEConv(nn.Sequential(nn.Linear(channels, channels), nn.ReLU()))
            for _ in range(3)
        )
        self.specformer = specformer
        spectral = 0 if specformer is None else specformer.out_channels
        self.readout = nn.Sequential(
            nn.Linear(channels + spectral, channels), nn.SiLU(), nn.Linear(channels, 1)
        )

    def forward(self, batch):
        edges, orders = to_undirected(
            batch.bond_index, batch.bond_order[:, None], num_nodes=batch.num_nodes
        )
        x, orders = self.elements(batch.z), self.orders(orders)
        for convolution in self.convolutions:
            x = x + convolution(x, edges, orders)
        features = [global_mean_pool(x, batch.batch, batch.num_graphs)]
        if self.specformer is not None:
            features.append(self.specformer(batch).embedding)
        return self.readout(torch.cat(features, dim=1))[:, 0]


# %%
# The training loop knows nothing of spectra. The label is the gap between the highest occupied and the lowest
# unoccupied orbital, in eV.

train, validation = ms.data.MiniSpectra("train"), ms.data.MiniSpectra("validation")
mean = torch.cat([molecule.gap for molecule in train]).mean()
held_out = next(iter(DataLoader(validation, batch_size=len(validation))))


def fit(model, epochs=5):
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    errors = []
    for _ in range(epochs):
        model.train()
        for batch in DataLoader(train, batch_size=64, shuffle=True):
            loss = nn.functional.l1_loss(model(batch) + mean, batch.gap)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            errors.append((model(held_out) + mean - held_out.gap).abs().mean().item())
    return errors


# %%
# The same network without and with spectra, on molecules that training has not seen:

torch.manual_seed(0)
specformer = ms.spectra.SpecFormer(
    train.axes,
    patch_len=140,
    stride=140,
    hidden_channels=32,
    num_layers=2,
    num_heads=4,
    out_channels=32,
)
curves = {"bonds": fit(YourGNN()), "bonds and spectra": fit(YourGNN(specformer))}
fig, ax = plt.subplots(layout="constrained")
for name, errors in curves.items():
    ax.plot(range(1, len(errors) + 1), errors, marker="o", label=name)
ax.axhline(
    (mean - held_out.gap).abs().mean(),
    color="0.6",
    linestyle="--",
    label="mean of the training labels",
)
ax.set(
    xlabel="epoch",
    ylabel="error of the gap on validation molecules (eV)",
    ylim=(0, None),
)
ax.legend()
