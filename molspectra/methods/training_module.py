"""Encoder and method as one module."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import attribute_of, unwrap
from molspectra._validation import check_generator


class TrainingModule(Configurable, nn.Module):
    """Encoder and method as one module, for wrappers of modules.

    DistributedDataParallel, `fully_shard` and `torch.compile` wrap one module and act on its forward, so it must hold
    all parameters. Encoder and method stay usable on their own, for saving and evaluation.

    Args:
        encoder: Encoder `(z, pos, batch) -> AtomFeatures`. None for a method that encodes no molecules
            (:class:`MaskedReconstruction`).
        method: The method.

    Raises:
        TypeError: The encoder is None, and the method needs one.

    Example:
        >>> encoder, method = ms.encoders.PaiNN(16, num_layers=1), ms.methods.Coord(channels=16)
        >>> model = ms.methods.TrainingModule(encoder, method)  # wrap it: DistributedDataParallel(model)
        >>> model(Batch.from_data_list(ms.data.MiniSpectra()[:4]))["loss"].backward()
    """

    def __init__(self, encoder: nn.Module | None, method: nn.Module) -> None:
        super().__init__()
        if encoder is None and attribute_of(method, "needs_encoder", True):
            raise TypeError(
                f"encoder must be an encoder, which {type(unwrap(method)).__name__} calls; got None. Pass "
                "TrainingModule(encoder, method)."
            )
        self.encoder = encoder
        self.method = method

    def forward(self, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the losses of a batch, as the method names them. Differentiate "loss"."""
        check_generator(generator)
        return self.method(self.encoder, batch, generator)
