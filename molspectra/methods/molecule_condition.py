"""Conditioning of an encoder on an embedding of the whole molecule, which is sometimes withheld."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_channels, check_generator, check_probability, check_tensor
from molspectra.heads.pooling import check_data
from molspectra.layers.layer_norm import LayerNorm


class MoleculeCondition(Configurable, nn.Module):
    """Context LN(c) of the atoms of a molecule from its embedding c, dropped in training with a probability (SCD).

    Without a condition the context is 0, so that an encoder without any context is what the condition was dropped for.

    Args:
        channels: Width F of the embedding and of the encoder's features.
        dropout: Probability that a molecule loses its condition in training mode.
        as_released: Without a condition, the context is the norm of a random row, the mask token, which training leaves
            as it is. An encoder then needs this context also afterwards. Contexts are limited to ±1000.

    Example:
        >>> condition = MoleculeCondition(16)
        >>> condition(torch.randn(1, 16), Data(pos=torch.zeros(5, 3))).shape
        torch.Size([5, 16])
    """

    def __init__(self, channels: int, dropout: float = 0.2, as_released: bool = False) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        self.channels = channels
        self.dropout = dropout
        self.norm = LayerNorm(channels)
        token = torch.randn(1, channels, dtype=self.norm.weight.dtype) if as_released else None
        self.mask_token = None if token is None else nn.Parameter(token, requires_grad=False)

    def forward(
        self,
        embedding: Float[Tensor, "molecules channels"],
        data: Data,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "atoms channels"]:
        """Return the context of each atom, (N, F).

        Args:
            embedding: Embedding of each molecule, (B, F).
            data: The molecules.
            generator: Source of randomness, on the device of the data.
        """
        check_tensor("embedding", embedding)
        check_data(data, "MoleculeCondition", ("pos",))
        check_generator(generator)
        check_channels("MoleculeCondition", embedding.shape[1], self.channels)
        if not self.training:
            return self.of_atoms(embedding, data)
        number = embedding.shape[0]
        dropped = torch.rand(number, generator=generator, dtype=embedding.dtype, device=embedding.device) < self.dropout
        return self.of_atoms(embedding, data, dropped)

    def of_atoms(
        self,
        embedding: Float[Tensor, "molecules channels"],
        data: Data,
        dropped: Bool[Tensor, " molecules"] | None = None,
    ) -> Float[Tensor, "atoms channels"]:
        """Return the context of each atom, (N, F), without that of given molecules."""
        if dropped is not None and self.mask_token is not None:
            embedding = torch.where(dropped.unsqueeze(1), self.mask_token.to(embedding.dtype), embedding)
        context = self.norm(embedding)
        if self.mask_token is not None:
            context = context.clamp(-1000, 1000)
        elif dropped is not None:
            context = torch.where(dropped.unsqueeze(1), 0.0, context)
        return context.index_select(0, molecule_of(data))

    def without(self, data: Data) -> Float[Tensor, "atoms channels"] | None:
        """Return the context of atoms without a condition: None, or (N, F) `as_released`."""
        if self.mask_token is None:
            return None
        return self.of_atoms(self.mask_token.expand(num_molecules_of(data), -1), data)
