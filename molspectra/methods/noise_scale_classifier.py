"""Classifier of the noise level of a molecule."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_channels, check_sizes, check_tensors


class NoiseScaleClassifier(Configurable, nn.Module):
    """Logits of the noise levels, MLP[g ‖ g̃] of a molecule before and after noise (3D-EMGP, arXiv:2207.08824).

    Args:
        channels: Width F of the molecule features.
        num_levels: Number of noise levels.
    """

    def __init__(self, channels: int, num_levels: int = 50) -> None:
        super().__init__()
        check_sizes(num_levels=num_levels)
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, num_levels))

    def forward(
        self, clean: Float[Tensor, "molecules channels"], noisy: Float[Tensor, "molecules channels"]
    ) -> Float[Tensor, "molecules levels"]:
        """Map features of clean and noisy molecules, (B, F) each, to logits (B, levels)."""
        check_tensors(clean=clean, noisy=noisy)
        check_channels("NoiseScaleClassifier", clean.shape[1], self.channels)
        return self.mlp(torch.cat([clean, noisy], dim=1))
