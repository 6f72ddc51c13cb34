"""Features that every spectrum encoder returns."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils import _pytree

from molspectra._repr import fields_repr


class Memory(NamedTuple):
    """Tokens to attend to, under the names of :class:`torch.nn.TransformerDecoder`."""

    memory: Float[Tensor, "rows tokens channels"]
    """Tokens, 0 where there are none."""
    memory_key_padding_mask: Bool[Tensor, "rows tokens"]
    """True for tokens that must not be attended to."""

    def __repr__(self) -> str:
        return fields_repr(self)


class SpectrumFeatures(NamedTuple):
    """Features of a batch of spectra, from :class:`SpecFormer` or :class:`CNNAM`."""

    tokens: Float[Tensor, "batch tokens channels"]
    """One feature vector per patch (SpecFormer) or per position of the feature map (CNNAM), (B, n, D). The kinds stand
    one after the other. `split` of the encoder takes them apart."""
    embedding: Float[Tensor, "batch out_channels"]
    """One feature vector per sample, (B, F)."""
    valid: Bool[Tensor, "batch tokens"]
    """True for tokens of a spectrum that the sample has, (B, n)."""
    attention: tuple[Float[Tensor, "batch heads tokens tokens"], ...] | None = None
    """Attention weights of each layer of a SpecFormer, if asked for."""

    def __repr__(self) -> str:
        return fields_repr(self)

    def as_memory(self, molecule: Int[Tensor, " rows"] | None = None) -> Memory:
        """Return tokens and padding for cross-attention, with which a model of one's own reads the spectra.

        `decoder(queries, **features.as_memory()._asdict())` conditions a :class:`torch.nn.TransformerDecoder` of width
        D with `batch_first=True`. A sample without any spectrum has one token of zeros to attend to, as attention to
        nothing would be NaN.

        Args:
            molecule: Sample of each row, (R,), by default one row per sample. `batch` gives every atom a row.

        Example:
            >>> specformer = ms.spectra.SpecFormer({"ir": 3501}, 100, 100, 32, num_layers=1, num_heads=4)
            >>> features = specformer({"ir": torch.rand(2, 3501)})
            >>> layer = torch.nn.TransformerDecoderLayer(32, 4, batch_first=True)
            >>> layer(torch.randn(2, 5, 32), **features.as_memory()._asdict()).shape  # five queries per molecule
            torch.Size([2, 5, 32])
        """
        tokens = torch.where(self.valid.unsqueeze(-1), self.tokens, 0.0)
        padding = ~self.valid
        # The first token stands for "no spectrum" where all are absent.
        first = torch.zeros_like(padding)
        first[:, :1] = padding.all(dim=1, keepdim=True)
        padding = padding & ~first
        if molecule is None:
            return Memory(tokens, padding)
        return Memory(tokens.index_select(0, molecule), padding.index_select(0, molecule))


# torch.export saves a program that returns named tuples under the names given here.
for _class in (Memory, SpectrumFeatures):
    _pytree._register_namedtuple(_class, serialized_type_name=f"molspectra.{_class.__name__}")
