"""A method and the encoder it trains, as one module."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable


class TrainingStep(Configurable, nn.Module):
    """`method(encoder, batch, generator)` as a module that holds both: what wrappers of modules take.

    DistributedDataParallel, `fully_shard` and `torch.compile` wrap one module and act when its forward is called, so
    all parameters must be inside. Encoder and method stay the objects that they are, to be saved or evaluated.

    Args:
        encoder: Maps (z, pos, batch) to atom features.
        method: The method.

    Example:
        >>> encoder, method = ms.encoders.PaiNN(16, num_layers=1), ms.methods.Coord(channels=16)
        >>> step = ms.methods.TrainingStep(encoder, method)  # DistributedDataParallel(step), fully_shard(step), ...
        >>> step(Batch.from_data_list(ms.data.MiniSpectra()[:4]))["loss"].backward()
    """

    def __init__(self, encoder: nn.Module, method: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.method = method

    def forward(self, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The losses of a batch, as the method names them; "loss" is the one to differentiate."""
        return self.method(self.encoder, batch, generator)
