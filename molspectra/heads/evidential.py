"""Property with its uncertainty, from evidential regression."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import check_choice
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.element_scale import ElementScale
from molspectra.heads.invariants import invariants
from molspectra.heads.pooling import pool_atoms
from molspectra.layers.precision import leave_autocast
from molspectra.uncertainty import Evidence


class EvidentialHead(Configurable, nn.Module):
    """Property of each molecule or atom as a normal-inverse-gamma distribution (Amini et al. 2020, arXiv:1910.02600).

    One pass gives prediction, noise of the labels and uncertainty of the model (:class:`~molspectra.uncertainty.
    Evidence`). A linear layer after an MLP of s_i + |v_i| + |t_i| gives γ and, by softplus, ν, β and α - 1. For
    molecules the MLP's output is averaged over atoms. Train it with `Regression(head, loss="evidential")`. Check the
    uncertainty on labels that training has not seen (:func:`~molspectra.uncertainty.calibration`).

    Args:
        channels: Width F of the atom features.
        level: "molecule", or "atom" for a property of each atom.
        mean: Mean of the property.
        std: Standard deviation of the property.
        scale: Mean and standard deviation of each element, in place of `mean` and `std`, for level "atom".

    Raises:
        ValueError: `level` is unknown, or `scale` is given beside `mean` or `std` or for molecules.

    Example:
        >>> encoder, head = ms.encoders.PaiNN(32, num_layers=2), EvidentialHead(32, mean=8.0, std=2.0)
        >>> head(encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3))).std.shape
        torch.Size([1, 1])
    """

    def __init__(
        self,
        channels: int,
        level: Literal["molecule", "atom"] = "molecule",
        mean: float = 0.0,
        std: float = 1.0,
        scale: ElementScale | None = None,
    ) -> None:
        super().__init__()
        check_choice("level", level, ("molecule", "atom"))
        if scale is not None and (level == "molecule" or (mean, std) != (0.0, 1.0)):
            raise ValueError(
                f'scale has a mean and a std of each element, in place of mean and std, for level="atom"; got '
                f"level={level!r}, mean={mean} and std={std}."
            )
        self.channels = channels
        self.level = level
        self.mean = mean
        self.std = std
        self.scale = scale
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels), nn.SiLU())
        self.linear = nn.Linear(channels, 4)

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Evidence:
        """Predict the parameters of a distribution, each (B, 1), or (N, 1) for level "atom".

        Args:
            atoms: Atom features.
            data: Molecules, with `z` if the head has a scale of elements; None for one molecule.
        """
        check_atoms("EvidentialHead", atoms, self.channels)
        # In float32 under autocast: α - 1 may be small, and half precision rounds α to 1, an infinite variance.
        features = leave_autocast(invariants(atoms))
        with torch.autocast(atoms.scalars.device.type, enabled=False):
            hidden = self.mlp(features)
            if self.level == "molecule":
                hidden = pool_atoms(hidden, data, "mean")
            gamma, *positive = self.linear(hidden).split(1, dim=1)
        nu, alpha, beta = (F.softplus(part) + torch.finfo(part.dtype).eps for part in positive)
        mean, std = (self.mean, self.std) if self.scale is None else self.scale.mean_and_std(data)
        return Evidence(gamma * std + mean, nu, 1 + alpha, beta * std**2)
