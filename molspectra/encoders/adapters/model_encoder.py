"""Base of encoders around models from elsewhere."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra._validation import check_dtype, check_molecules
from molspectra.features import AtomFeatures


class ModelEncoder(Configurable, nn.Module):
    """Checks and the call form of encoders around models from elsewhere."""

    out_channels: int
    cutoff: float
    max_z: int
    needs_bonds = False

    def forward(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        *,
        bond_index: Int[Tensor, "2 bonds"] | None = None,
        bond_order: Float[Tensor, " bonds"] | None = None,
        context: Float[Tensor, "atoms channels"] | None = None,
    ) -> AtomFeatures:
        """Encode a batch of molecules."""
        check_molecules(z, pos, batch, self.max_z)
        weight = next(self.parameters(), None)
        if weight is not None:
            check_dtype("pos", pos, weight)
            pos = pos.to(weight.dtype)  # under autocast it may have another; geometry is never halved
        batch = torch.zeros_like(z) if batch is None else batch
        return self._encode(z, pos, batch, bond_index, bond_order, context)

    def _encode(
        self,
        z: Tensor,
        pos: Tensor,
        batch: Tensor,
        bond_index: Tensor | None,
        bond_order: Tensor | None,
        context: Tensor | None,
    ) -> AtomFeatures:
        raise NotImplementedError
