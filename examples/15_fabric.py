"""Pre-training with Lightning Fabric: pip install molspectra lightning

A loop of your own. Fabric moves the model to the device, and wraps it for several processes and for mixed precision.
"""

import torch
from lightning.fabric import Fabric
from torch_geometric.loader import DataLoader

import molspectra as ms


def main(epochs=5, **fabric):
    fabric = Fabric(**fabric)
    fabric.launch()
    fabric.seed_everything(0)
    encoder = ms.encoders.EquivariantTransformer(64, num_layers=3)
    model = ms.methods.TrainingModule(encoder, ms.methods.Coord(channels=64))
    model, optimizer = fabric.setup(model, torch.optim.AdamW(model.parameters(), lr=5e-4))
    loader = fabric.setup_dataloaders(DataLoader(ms.data.MiniSpectra(), batch_size=32, shuffle=True))
    for _ in range(epochs):
        for batch in loader:
            loss = model(batch)["loss"]
            fabric.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
    if fabric.is_global_zero:
        ms.pretrained.save(encoder, "fabric-encoder")
    return loss.item()


if __name__ == "__main__":
    print(f"loss {main():.4f}")
