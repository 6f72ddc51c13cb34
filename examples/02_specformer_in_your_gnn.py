"""SpecFormer in a plain PyG network: the HOMO-LUMO gap from the bonds and the spectra of a molecule."""

import torch
from torch import nn
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINEConv, global_mean_pool
from torch_geometric.utils import to_undirected

import molspectra as ms


class YourGNN(nn.Module):
    """Graph network over bonds that concatenates the embedding of spectra to its readout."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.atoms, self.bonds = nn.Embedding(119, channels), nn.Linear(1, channels)
        networks = (nn.Sequential(nn.Linear(channels, channels), nn.ReLU()) for _ in range(3))
        self.convolutions = nn.ModuleList(GINEConv(network) for network in networks)
        self.specformer = ms.spectra.SpecFormer(
            ms.data.MiniSpectra.axes, patch_len=100, stride=50, hidden_channels=64, num_layers=2
        )
        self.readout = nn.Linear(channels + self.specformer.out_channels, 1)

    def forward(self, batch) -> torch.Tensor:
        edges, orders = to_undirected(batch.bond_index, batch.bond_order[:, None], num_nodes=batch.num_nodes)
        x, bonds = self.atoms(batch.z), self.bonds(orders)
        for convolution in self.convolutions:
            x = x + convolution(x, edges, bonds)
        molecules = global_mean_pool(x, batch.batch, batch.num_graphs)
        spectra = self.specformer(batch).embedding
        return self.readout(torch.cat([molecules, spectra], dim=1))[:, 0]


def main(epochs: int = 10) -> None:
    torch.manual_seed(0)
    train, test = ms.data.MiniSpectra("train"), next(iter(DataLoader(ms.data.MiniSpectra("test"), batch_size=100)))
    mean = torch.stack([molecule.gap for molecule in train]).mean()
    model = YourGNN()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(epochs):
        for batch in DataLoader(train, batch_size=64, shuffle=True):
            loss = nn.functional.l1_loss(model(batch) + mean, batch.gap)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(f"epoch {epoch + 1:2d}: test error of the gap {(model(test) + mean - test.gap).abs().mean():.3f} eV")
        model.train()
    print(f"the mean gap as the guess: {(mean - test.gap).abs().mean():.3f} eV")


if __name__ == "__main__":
    main()
