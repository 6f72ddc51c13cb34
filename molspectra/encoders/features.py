"""What every encoder returns."""

from typing import Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter


class AtomFeatures(NamedTuple):
    """Features of each atom."""

    scalars: Float[Tensor, "atoms channels"]
    """Invariant features, (N, F)."""
    vectors: Float[Tensor, "atoms 3 channels"] | None = None
    """Equivariant features in Cartesian x, y, z, (N, 3, F), or None."""

    def pool(
        self,
        batch: Int[Tensor, " atoms"] | None,
        reduce: Literal["sum", "mean"] = "sum",
        num_molecules: int | None = None,
    ) -> Float[Tensor, "molecules channels"]:
        """Sum or average the scalars over the atoms of each molecule.

        Args:
            batch: Molecule of each atom, (N,); None for one molecule.
            reduce: "sum" or "mean".
            num_molecules: Number of molecules, if known; otherwise it is read off `batch`, which waits for the device.

        Returns:
            Molecule features (B, F).
        """
        if reduce not in ("sum", "mean"):
            raise ValueError(f'reduce must be "sum" or "mean"; got {reduce!r}.')
        if batch is None:
            pooled = self.scalars.sum(dim=0, keepdim=True)
            return pooled / self.scalars.shape[0] if reduce == "mean" else pooled
        return scatter(self.scalars, batch, dim=0, dim_size=num_molecules, reduce=reduce)
