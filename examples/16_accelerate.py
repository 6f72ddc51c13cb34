"""Pre-training with Accelerate: pip install molspectra accelerate

    accelerate launch examples/16_accelerate.py

`prepare` moves model, optimizer and loader to the devices that `accelerate launch` was told of.
"""

import torch
from accelerate import Accelerator
from torch_geometric.loader import DataLoader

import molspectra as ms


def main(epochs=5, **accelerator):
    accelerator = Accelerator(**accelerator)
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(64, num_layers=3)
    model = ms.methods.TrainingModule(encoder, ms.methods.Coord(channels=64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    loader = DataLoader(ms.data.MiniSpectra(), batch_size=32, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for _ in range(epochs):
        for batch in loader:
            loss = model(batch)["loss"]
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
    if accelerator.is_main_process:
        ms.pretrained.save(encoder, "accelerate-encoder")
    return loss.item()


if __name__ == "__main__":
    print(f"loss {main():.4f}")
