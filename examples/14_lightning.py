"""Pre-training with Lightning's Trainer: pip install molspectra lightning

The LightningModule holds encoder and method, and the Trainer does the rest: devices, precision, checkpoints.
"""

import lightning
import torch
from torch_geometric.loader import DataLoader

import molspectra as ms


class Pretraining(lightning.LightningModule):
    def __init__(self, encoder, method):
        super().__init__()
        self.model = ms.methods.TrainingModule(encoder, method)

    def training_step(self, batch, _):
        losses = self.model(batch)
        self.log_dict({name: loss.detach() for name, loss in losses.items()}, batch_size=batch.num_graphs)
        return losses["loss"]

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=5e-4)


def main(epochs=5, **trainer):
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(64, num_layers=3)
    pretraining = Pretraining(encoder, ms.methods.Coord(channels=64))
    loader = DataLoader(ms.data.MiniSpectra(), batch_size=32, shuffle=True)
    trainer = lightning.Trainer(max_epochs=epochs, log_every_n_steps=1, **trainer)
    trainer.fit(pretraining, loader)
    ms.pretrained.save(encoder, "lightning-encoder")
    return trainer.callback_metrics["loss"].item()


if __name__ == "__main__":
    print(f"loss {main():.4f}")
