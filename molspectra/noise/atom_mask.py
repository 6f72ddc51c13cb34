"""Removal of one atom per molecule: the masking of EMPP."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Batch, Data
from torch_geometric.utils import scatter

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_fields, check_generator, check_positions, values_are_free


class AtomMask(Configurable):
    """Masking of one atom per molecule, in each of `num_copies` copies (EMPP, An et al. 2025, arXiv:2502.08209).

    Copy c of molecule g is molecule c B + g of the result. The masked atom is drawn uniformly, and the copies of a
    molecule lack different atoms. A molecule with fewer atoms than copies repeats its atoms in the same order. The atom
    is removed together with its bonds, and no placeholder takes its position. The fields of the result:

    ==============================  =====================  =====================================================
    `z` `pos` `batch`               (N',) (N', 3) (N',)    remaining atoms, in order, N' = K (N - B)
    `bond_index` `bond_order`       (2, b) (b,)            bonds between them, if the data has bonds
    `masked_z` `masked_pos`         (K B,) (K B, 3)        element and position (Å) of the masked atom of each copy
    `masked_atom`                   (K B,)                 row of the masked atom in the given data
    `source_batch`                  (K B,)                 molecule in the given data from which the copy is made
    `kept`                          (N',)                  row of each remaining atom in the given data
    ==============================  =====================  =====================================================

    The result is a `Batch` with `ptr` and `num_graphs` = K B. Molecules of one atom count, although none of their rows
    remains. One copy of a single molecule is a `Data` without `batch`, so that the mask can be a transform in a data
    loader. Several copies of a molecule are already a batch, which collation would count as one molecule: mask after
    collation then. Other fields are dropped, except those named in `labels`.

    The mask runs on the device of the data. The host waits for the device only for the number of remaining bonds.

    Args:
        num_copies: Number K of copies of each molecule.
        heavy_only: Remove hydrogens only from molecules without heavier atoms. The published code draws from all atoms.
        labels: Fields with one row per molecule, (B, …), which are repeated for the copies.

    Raises:
        ValueError: `num_copies` is not a positive integer.
        TypeError: `labels` is a string.

    Example:
        >>> water = Data(z=torch.tensor([8, 1, 1]), pos=torch.tensor([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
        >>> masked = AtomMask(heavy_only=True)(water)
        >>> masked.z, masked.masked_z
        (tensor([1, 1]), tensor([8]))
    """

    def __init__(self, num_copies: int = 1, heavy_only: bool = False, labels: Sequence[str] = ()) -> None:
        _check_copies("num_copies", num_copies)
        self.num_copies = num_copies
        self.heavy_only = heavy_only
        self.labels = tuple(labels)

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return copies of the molecules, each without one atom, and leave `data` unchanged.

        Raises:
            ValueError: a molecule has no atoms (checked for CPU tensors), or a field of `labels` is missing.
        """
        return self.mask(data, self.draw(data, generator))

    def draw(self, data: Data, generator: torch.Generator | None = None) -> Int[Tensor, " copies"]:
        """Draw the atoms to mask: rows of `data`, (K B,), copy after copy."""
        check_positions(data, type(self).__name__, ("z", "pos"))
        check_generator(generator)
        sizes, molecule = _sizes(data), molecule_of(data)
        with record_function("molspectra::atom_mask.draw"):
            light = (data.z == 1) if self.heavy_only else torch.zeros_like(data.z, dtype=torch.bool)
            # One random order of all atoms. The stable sort groups it by molecule, heavy atoms first, and leaves it
            # uniform within each group: the first K atoms of a molecule are K draws without replacement.
            shuffled = torch.randperm(data.z.shape[0], generator=generator, device=data.z.device)
            group = (2 * molecule + light).index_select(0, shuffled)
            shuffled = shuffled.index_select(0, group.argsort(stable=True))
            heavy = scatter((~light).long(), molecule, dim_size=sizes.shape[0], reduce="sum")
            eligible = torch.where(heavy > 0, heavy, sizes)
            # Copy c takes draw c. Molecules with fewer eligible atoms than copies start over.
            copies = torch.arange(self.num_copies, device=sizes.device).unsqueeze(1)
            first = sizes.cumsum(0) - sizes
            return shuffled.index_select(0, (first + copies % eligible).flatten())

    def mask(self, data: Data, masked_atom: Int[Tensor, " copies"]) -> Data:
        """Remove given atoms.

        Args:
            data: B molecules with `z` and `pos`.
            masked_atom: Rows of `data`, (K B,) for any K: one of each molecule in order, copy after copy.

        Returns:
            The copies without these atoms, with the fields of :class:`AtomMask`.

        Raises:
            ValueError: an atom is not in its molecule (checked for CPU tensors), or the length of `masked_atom` is not
                K B.
        """
        check_fields(data, ("z", "pos", *self.labels), type(self).__name__, "Set them, or leave them out of labels=.")
        sizes, molecule = _sizes(data), molecule_of(data)
        num_atoms, num_molecules = molecule.shape[0], sizes.shape[0]
        _check_masked(masked_atom, molecule, num_molecules)
        for label in self.labels:
            if data[label].shape[:1] != (num_molecules,):
                raise ValueError(
                    f"{label!r} must have a row for each of the {num_molecules} molecules to be repeated for the "
                    f"copies; got shape {tuple(data[label].shape)}."
                )
        num_copies = masked_atom.shape[0] // num_molecules
        copies = torch.arange(num_copies, device=molecule.device).unsqueeze(1)

        with record_function("molspectra::atom_mask.remove"):
            # The rows of all copies, copy after copy. A stable sort moves the removed rows to the end. Unlike a boolean
            # index it has an output of known size, so that the host does not wait for the device.
            removed = torch.zeros(num_copies * num_atoms, dtype=torch.bool, device=molecule.device)
            removed.index_fill_(0, (masked_atom.view(num_copies, -1) + copies * num_atoms).flatten(), True)
            rows = removed.to(torch.uint8).argsort(stable=True)[: num_copies * (num_atoms - num_molecules)]
            kept = rows % num_atoms  # rows of the given data
            source = torch.arange(num_molecules, device=molecule.device).repeat(num_copies)
            fields = {
                "z": data.z.index_select(0, kept),
                "pos": data.pos.index_select(0, kept),
                **_bonds(data, removed, num_copies),
                "masked_z": data.z.index_select(0, masked_atom),
                "masked_pos": data.pos.index_select(0, masked_atom),
                "masked_atom": masked_atom,
                "source_batch": source,
                "kept": kept,
                **{label: data[label].index_select(0, source) for label in self.labels},
            }
            if data.batch is None and num_copies == 1:
                return Data(**fields)
            batch = molecule.index_select(0, kept) + rows // num_atoms * num_molecules
            # `ptr` also counts molecules without remaining atoms, which leave no trace in `batch`.
            ends = (sizes - 1).repeat(num_copies).cumsum(0)
            return Batch(batch=batch, ptr=torch.cat([torch.zeros_like(ends[:1]), ends]), **fields)


class EMPPMask(AtomMask):
    """:class:`AtomMask` under the name of its paper, whose `num_masked` is `num_copies`.

    Args:
        num_masked: Number of masked atoms per molecule, each in a copy of its own.
        heavy_only: See :class:`AtomMask`.
        labels: See :class:`AtomMask`.

    Raises:
        ValueError: `num_masked` is not a positive integer.
        TypeError: `labels` is a string.

    Example:
        >>> EMPPMask(num_masked=3)(ms.data.MiniSpectra()[0]).num_graphs
        3
    """

    def __init__(self, num_masked: int = 1, heavy_only: bool = False, labels: Sequence[str] = ()) -> None:
        _check_copies("num_masked", num_masked)
        super().__init__(num_masked, heavy_only, labels)

    @property
    def num_masked(self) -> int:
        """Number of copies of each molecule."""
        return self.num_copies


def _check_copies(name: str, value: int) -> None:
    if value < 1 or value != int(value):
        raise ValueError(f"{name} must be 1 or more, whole copies of each molecule; got {value}.")


def _sizes(data: Data) -> Tensor:
    """Return the number of atoms of each molecule, (B,)."""
    if data.batch is None:
        sizes = torch.full((1,), data.pos.shape[0], dtype=torch.int64, device=data.pos.device)
    elif "ptr" in data:
        sizes = data.ptr.diff()
    else:
        sizes = torch.bincount(data.batch, minlength=num_molecules_of(data))
    if values_are_free(sizes) and bool((sizes == 0).any()):
        raise ValueError(
            f"Every molecule must have an atom to remove; molecule {int((sizes == 0).nonzero()[0])} has none. "
            "Leave it out of the batch."
        )
    return sizes


def _check_masked(masked_atom: Tensor, molecule: Tensor, num_molecules: int) -> None:
    if masked_atom.shape[0] == 0 or masked_atom.shape[0] % num_molecules:
        raise ValueError(
            f"masked_atom must have K · {num_molecules} entries, one atom of each molecule for each of K copies; got "
            f"{masked_atom.shape[0]}. Draw them with draw()."
        )
    if not values_are_free(masked_atom):
        return
    expected = torch.arange(num_molecules).repeat(masked_atom.shape[0] // num_molecules)
    inside = (masked_atom >= 0) & (masked_atom < molecule.shape[0])
    wrong = ~inside | (molecule[masked_atom.clamp(0, molecule.shape[0] - 1)] != expected)
    if bool(wrong.any()):
        entry = int(wrong.nonzero()[0])
        raise ValueError(
            f"masked_atom[{entry}] must be an atom of molecule {int(expected[entry])}; got row "
            f"{int(masked_atom[entry])}. Rows count through the batch: add batch.ptr[:-1] to numbers that start at 0 "
            "in each molecule."
        )


def _bonds(data: Data, removed: Tensor, num_copies: int) -> dict[str, Tensor]:
    """Return the bonds between remaining atoms of all copies, renumbered, or no fields if the data has no bonds."""
    if "bond_index" not in data:
        return {}
    num_atoms = removed.shape[0] // num_copies
    # Bonds of all copies, in the numbering before removal.
    offset = num_atoms * torch.arange(num_copies, device=removed.device).unsqueeze(1)
    bonds = (data.bond_index.unsqueeze(1) + offset).flatten(1)
    broken = removed.index_select(0, bonds.flatten()).view_as(bonds).any(dim=0)
    intact = (~broken).nonzero().squeeze(1)
    # The new row of an atom is its old row less the number of atoms removed before it.
    row = torch.arange(removed.shape[0], device=removed.device) - removed.cumsum(0)
    bonds = bonds.index_select(1, intact)
    fields = {"bond_index": row.index_select(0, bonds.flatten()).view_as(bonds)}
    if "bond_order" in data:
        fields["bond_order"] = data.bond_order.repeat(num_copies).index_select(0, intact)
    return fields
