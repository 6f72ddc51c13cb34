"""Telling how strong the noise on a molecule is."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable


class NoiseScaleHead(Configurable, nn.Module):
    """Logits of the noise levels, MLP[g ‖ g̃] of a molecule as it is and perturbed (3D-EMGP, arXiv:2207.08824).

    Args:
        channels: Width F of the molecule features.
        num_levels: Number of noise levels.
    """

    def __init__(self, channels: int, num_levels: int = 50) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, num_levels))

    def forward(
        self, clean: Float[Tensor, "molecules channels"], noisy: Float[Tensor, "molecules channels"]
    ) -> Float[Tensor, "molecules levels"]:
        """Features of the molecules and of the perturbed molecules, (B, F) each, → (B, levels)."""
        return self.mlp(torch.cat([clean, noisy], dim=1))
