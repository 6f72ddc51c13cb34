"""Pooling of atom features over the atoms of each molecule."""

from collections.abc import Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_tensor
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.invariants import invariants
from molspectra.layers.precision import leave_autocast


def check_data(data: Any, user: str, fields: Sequence[str] = ()) -> None:
    """Check that a head got molecules, with the fields that it reads.

    Raises:
        TypeError: `data` is no `Data` or `Batch`.
        ValueError: A field is missing.
    """
    expected = f" with {' and '.join(fields)}" if fields else ""
    if not isinstance(data, Data):
        raise TypeError(
            f"{user} needs data, a torch_geometric Data or Batch{expected}; got a {type(data).__name__}. Call "
            "head(atoms, batch) with the molecules themselves."
        )
    if missing := [field for field in fields if data.get(field) is None]:
        raise ValueError(
            f"{user} needs data{expected}; {missing} are missing from {list(data.keys())}. Set them, as in "
            "Data(z=z, pos=pos, batch=batch)."
        )
    for field in fields:
        check_tensor(field, data[field])


def pool_atoms(
    values: Float[Tensor, "atoms channels"], data: Data | None, reduce: Literal["sum", "mean"] = "sum"
) -> Float[Tensor, "molecules channels"]:
    """Sum or average values of atoms over each molecule of `data`, or over all atoms if `data` is None.

    Args:
        values: Values of each atom (N, C).
        data: Molecules. A `Batch` knows their number, whereas a `Data` with a field `batch` reads it from the device.
        reduce: "sum" or "mean".

    Returns:
        Values of each molecule (B, C).
    """
    if data is not None:
        check_data(data, "A head of molecules")
    batch = None if data is None else data.batch
    return AtomFeatures(values).pool(batch, reduce, num_molecules_of(data))


class MoleculePooling(Configurable, nn.Module):
    """Molecule features g = Σ_i MLP(s_i + |v_i| + |t_i|) from atom features of every degree.

    Lengths are taken per channel, smoothly at 0. Degrees that an encoder lacks are left out, so the same weights fit
    any encoder.

    Args:
        channels: Width F of the atom features.
        as_released: Read the scalars alone, as 3D-EMGP (arXiv:2207.08824) does.
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.as_released = as_released

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, "molecules channels"]:
        """Pool atom features into molecule features (B, F). `data` gives the molecule of each atom, if several."""
        check_atoms("This head", atoms, self.channels)
        # Scalars alone leave the last vectors of an encoder without a gradient (see EMGP).
        read = atoms.scalars if self.as_released else invariants(atoms)
        # Autocast runs the MLP in half precision, whose digits do not suffice for a sum over many atoms.
        return pool_atoms(leave_autocast(self.mlp(read)), data)
