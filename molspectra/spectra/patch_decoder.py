"""Reconstruction of spectrum patches from tokens."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_channels, check_tensors_by_kind


class PatchDecoder(Configurable, nn.Module):
    """Linear map per kind of spectrum from a token to its patch (MolSpectra, arXiv:2502.16284, §3.2).

    Args:
        channels: Width D of the tokens.
        patch_len: Samples in a patch of each kind.
    """

    def __init__(self, channels: int, patch_len: Mapping[str, int]) -> None:
        super().__init__()
        self.channels = channels
        self.projections = nn.ModuleDict({kind: nn.Linear(channels, length) for kind, length in patch_len.items()})

    def forward(self, tokens: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "batch patches patch_len"]]:
        """Map kind → tokens (B, n, D), as `SpecFormer.split` returns them, to kind → scaled patches (B, n, P)."""
        check_tensors_by_kind("tokens", tokens)
        for of_kind in tokens.values():
            check_channels("PatchDecoder", of_kind.shape[-1], self.channels)
        return {kind: self.projections[kind](of_kind) for kind, of_kind in tokens.items()}
