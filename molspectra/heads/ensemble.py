"""Several heads that predict one property, and their spread."""

from collections.abc import Sequence

import torch
from torch import nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import attribute_of, unwrap
from molspectra.features import AtomFeatures
from molspectra.heads.evidential import EvidentialHead
from molspectra.uncertainty import Ensemble


class EnsembleHead(Configurable, nn.Module):
    """Ensemble of heads on one encoder, whose spread is an uncertainty (Lakshminarayanan et al., arXiv:1612.01474).

    Every member has weights of its own. `Regression` compares each member with the labels, so that all of them learn.
    One encoder serves all members, which is cheap and makes them more alike than models that were trained apart. For
    the latter, stack predictions: `ms.uncertainty.Ensemble(torch.stack(predictions))`.

    Args:
        heads: At least two heads `head(atoms, data)` that return tensors of one shape.

    Raises:
        ValueError: There are fewer than two heads, one of them is given twice, or one predicts an uncertainty itself.

    Example:
        >>> encoder = ms.encoders.PaiNN(32, num_layers=2)
        >>> head = EnsembleHead([ms.heads.ScalarHead(32, reduce="mean") for _ in range(5)])
        >>> predicted = head(encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)))
        >>> predicted.members.shape, predicted.std.shape
        (torch.Size([5, 1, 1]), torch.Size([1, 1]))
    """

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(heads) < 2 or len({id(head) for head in heads}) < len(heads):
            raise ValueError(
                f"heads must be at least two different modules, each with weights of its own; got {len(heads)}, "
                f"{len({id(head) for head in heads})} of them different. Make each anew, as in [ScalarHead(F) for _ in "
                "range(5)]."
            )
        bare = [unwrap(head) for head in heads]
        if evidential := [type(head).__name__ for head in bare if isinstance(head, EvidentialHead | EnsembleHead)]:
            raise ValueError(f"heads must predict numbers, as ScalarHead and AtomHead do; got {evidential}.")
        self.heads = nn.ModuleList(heads)

    @property
    def scale(self) -> nn.Module | None:
        """Scale of elements of the first member, None without one."""
        return attribute_of(self.heads[0], "scale")

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Ensemble:
        """Predict with every member, (M, B, 1) or (M, N, 1)."""
        return Ensemble(torch.stack([head(atoms, data) for head in self.heads]))
