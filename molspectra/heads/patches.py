"""Reading patches of spectra back off their tokens."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from molspectra._config import Configurable


class PatchReconstructionHead(Configurable, nn.Module):
    """One linear map a kind of spectrum, from a token to the patch it stands for (MolSpectra §3.2).

    Args:
        channels: Width D of the tokens.
        patch_len: Samples in a patch of each kind.
    """

    def __init__(self, channels: int, patch_len: Mapping[str, int]) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({kind: nn.Linear(channels, length) for kind, length in patch_len.items()})

    def forward(self, tokens: Mapping[str, Tensor]) -> dict[str, Float[Tensor, "batch patches patch_len"]]:
        """Kind → tokens (B, n, D), as `SpecFormer.split` gives them, to kind → scaled patches (B, n, P)."""
        return {kind: self.projections[kind](of_kind) for kind, of_kind in tokens.items()}
