"""The fields of a molecule that an encoder reads."""

import warnings

from torch import nn
from torch_geometric.data import Data

from molspectra._function_module import needs_bonds
from molspectra._signature import attribute_of
from molspectra.data.chemistry.bonds import perceive_bonds


def prepare_molecule(molecule: Data, encoder: nn.Module) -> tuple[Data, bool]:
    """Return a molecule with the fields that an encoder reads, in its dtype, and True if bonds were guessed.

    Raises:
        ValueError: the encoder does not know an element, positions are too large for its dtype, or bonds cannot be
            perceived.
    """
    max_z = attribute_of(encoder, "max_z", 118)
    unknown = sorted({z for z in molecule.z.tolist() if z > max_z})
    if unknown:
        raise ValueError(f"the encoder knows elements up to max_z={max_z}; got {unknown}.")
    weight = next(encoder.parameters(), molecule.pos)
    fields = Data(z=molecule.z, pos=molecule.pos.to(weight.dtype))
    if not bool(fields.pos.isfinite().all()):
        raise ValueError(f"the positions do not fit into {weight.dtype}, the encoder's dtype.")
    if "bond_index" in molecule:
        fields.bond_index = molecule.bond_index
        if "bond_order" in molecule:
            fields.bond_order = molecule.bond_order.to(weight.dtype)
        return fields, False
    if not needs_bonds(encoder):
        return fields, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one warning for all molecules follows at the end
        fields.bond_index, order = perceive_bonds(molecule.z, molecule.pos)
    fields.bond_order = order.to(weight.dtype)
    return fields, True
