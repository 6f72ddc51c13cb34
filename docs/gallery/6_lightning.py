"""
Train with Lightning
====================

Pre-training as a `LightningModule`: the library brings the parts, and Lightning the loop.
"""

# %%
# `TrainingModule` joins an encoder and a method into one module. A `LightningModule` around it needs two methods.

import logging
import warnings
from tempfile import mkdtemp

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch_geometric.loader import DataLoader

import molspectra as ms

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)  # greetings
warnings.filterwarnings("ignore", module="lightning")  # few workers


class PreTraining(lightning.LightningModule):
    def __init__(self, encoder, method):
        super().__init__()
        self.model = ms.methods.TrainingModule(encoder, method)

    def training_step(self, batch, index):
        losses = self.model(batch)
        self.log_dict(losses, batch_size=batch.num_graphs)
        return losses["loss"]

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


# %%
# Denoising, masked reconstruction and contrast on molecules with spectra:

torch.manual_seed(0)
encoder = ms.encoders.EquivariantTransformer(
    hidden_channels=32, num_layers=2, num_heads=4
)
sizes = {
    "patch_len": 140,
    "stride": 140,
    "hidden_channels": 32,
    "num_layers": 2,
    "num_heads": 4,
    "out_channels": 32,
}
specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, **sizes)
module = PreTraining(encoder, ms.methods.MolSpectra(ms.methods.Coord(32), specformer))
loader = DataLoader(ms.data.MiniSpectra("train")[:256], batch_size=32, shuffle=True)

# %%
# The trainer moves the module and each batch to a device, and writes the losses.

logger = CSVLogger(mkdtemp())
trainer = lightning.Trainer(
    max_epochs=4,
    logger=logger,
    accelerator="cpu",
    log_every_n_steps=1,
    enable_progress_bar=False,
    enable_model_summary=False,
    enable_checkpointing=False,
)
trainer.fit(module, loader)
ms.plots.training(f"{logger.log_dir}/metrics.csv")

# %%
# The encoder is the same module as before, now trained. It is saved without Lightning.

ms.pretrained.save(encoder.eval(), f"{logger.log_dir}/encoder")
ms.embed(f"{logger.log_dir}/encoder", ["CCO", "c1ccccc1"]).shape
