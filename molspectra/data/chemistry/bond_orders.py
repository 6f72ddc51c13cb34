"""Bond orders guessed for molecules whose bonds are known."""

import operator
import warnings

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.data.chemistry._rdkit import assemble, import_rdkit
from molspectra.data.chemistry.bond_lengths import covalent_radius
from molspectra.data.molecule import validate

# Atomic number → usual valence of the elements that form multiple bonds. All others, such as hydrogen and the halogens,
# form single ones.
_VALENCES = {5: 3, 6: 4, 7: 3, 8: 2, 14: 4, 15: 5, 16: 6, 34: 6}
_ORDERS = (1, 2, 3)

# RDKit's search grows exponentially with the number of atoms that may be charged, and runs for hours if nothing stops
# it. It mostly succeeds within a hundred steps. This many take about a second.
_RDKIT_STEPS = 100_000

REMEDY = (
    "Where the bonds are known, set bond_index and bond_order yourself, or build the molecule with "
    "molspectra.data.from_smiles or from_rdkit."
)
"""Advice that ends each warning of a guess."""


@checked
def perceive_bond_orders(
    z: Int64[Tensor, " atoms"],
    pos: Float[Tensor, "atoms 3"],
    bond_index: Int64[Tensor, "2 bonds"],
    charge: int = 0,
) -> tuple[Float32[Tensor, " bonds"], str]:
    """Guess the orders of the known bonds of one molecule, and warn about the guess.

    If RDKit is installed, it finds the double and triple bonds that give all atoms their valences and the molecule its
    charge (`rdDetermineBonds.DetermineBondOrders`). Aromatic bonds then have order 1.5, as in
    :func:`molspectra.data.from_rdkit`. RDKit considers bonds and charge, not lengths, and fails where one of them is
    wrong, for radicals, most metals and lone ions, and for a few other molecules (trinitrotoluene).

    In all these cases bond lengths decide: the order of the nearest sum of radii for single, double and triple bonds
    (Pyykkö and Atsumi 2009, Chem. Eur. J. 15, 186 and 12770), limited by the usual valences of the two atoms minus
    their other bonds, taken as single. This never yields 1.5: most aromatic bonds come out as 2 (all six of benzene),
    the longer ones as 1. Bonds between two multiple bonds may come out as 2, and nitro groups as single bonds.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions in Å, (N, 3).
        bond_index: Bonds, each once, i < j, (2, B).
        charge: Total charge of the molecule, e.

    Returns:
        `bond_order` (B,) float32, in the order of `bond_index`, and the source of the orders: "RDKit", "bond lengths"
        with the reason in parentheses, or "none" for a molecule without bonds.

    Raises:
        TypeError: a dtype is wrong, or the charge is not an integer.
        ValueError: a field is wrong (see :func:`molspectra.data.validate`).

    Warns:
        UserWarning: always. It says where the orders come from and which charge was assumed.

    Example:
        >>> z, pos = torch.tensor([7, 6, 1]), torch.tensor([[1.16, 0, 0], [0, 0, 0], [-1.07, 0, 0]])
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     perceive_bond_orders(z, pos, torch.tensor([[0, 1], [1, 2]]))[0]
        tensor([3., 1.])
    """
    validate(Data(z=z, pos=pos, bond_index=bond_index))
    charge = operator.index(charge)
    bond_order, source = guess_orders(z.cpu(), pos.detach().cpu().double(), bond_index.cpu(), charge)
    warnings.warn(
        f"Guessed the orders of {bond_index.shape[1]} bonds; source: {source}; total charge assumed: {charge}. "
        f"{REMEDY}",
        UserWarning,
        stacklevel=2,
    )
    return bond_order.to(z.device), source


def guess_orders(
    z: Int64[Tensor, " atoms"], pos: Float[Tensor, "atoms 3"], bond_index: Int64[Tensor, "2 bonds"], charge: int
) -> tuple[Float32[Tensor, " bonds"], str]:
    """Guess bond orders as :func:`perceive_bond_orders` does, without checks and without a warning.

    Args:
        z: Atomic numbers, (N,), on the CPU.
        pos: Positions in Å, (N, 3), float64.
        bond_index: Bonds, each once, i < j, (2, B).
        charge: Total charge of the molecule, e.

    Returns:
        `bond_order` (B,) and the source of the orders.
    """
    if bond_index.shape[1] == 0:
        return torch.empty(0, dtype=torch.float32), "none"
    try:
        return torch.tensor(_orders_by_rdkit(z, bond_index, charge), dtype=torch.float32), "RDKit"
    except ImportError:
        reason = "RDKit is not installed; pip install molspectra[rdkit]"
    except (IndexError, ValueError, RuntimeError):  # all are how RDKit reports a molecule that it cannot make valid
        reason = "RDKit finds none for these bonds and this charge"
    return torch.tensor(_orders_by_length(z, pos, bond_index), dtype=torch.float32), f"bond lengths ({reason})"


def _orders_by_rdkit(z: Tensor, bond_index: Tensor, charge: int) -> list[float]:
    rdkit = import_rdkit("perceive_bond_orders")
    mol = assemble(z.tolist(), [(i, j, 1) for i, j in bond_index.t().tolist()])
    with rdkit.rdBase.BlockLogs():  # RDKit also writes to stderr the error that it raises
        rdkit.Chem.rdDetermineBonds.DetermineBondOrders(
            mol, charge=charge, embedChiral=False, maxIterations=_RDKIT_STEPS
        )
        rdkit.Chem.SanitizeMol(mol)
    return [bond.GetBondTypeAsDouble() for bond in mol.GetBonds()]


def _orders_by_length(z: Tensor, pos: Tensor, bond_index: Tensor) -> list[float]:
    degree = torch.bincount(bond_index.flatten(), minlength=len(z)).tolist()
    lengths = (pos[bond_index[0]] - pos[bond_index[1]]).norm(dim=-1).tolist()
    elements = z.tolist()
    orders = []
    for (i, j), length in zip(bond_index.t().tolist(), lengths, strict=True):
        ends = elements[i], elements[j]
        if not all(number in _VALENCES for number in ends):
            orders.append(1.0)
            continue
        misfits = [abs(length - sum(covalent_radius(number, order) for number in ends)) for order in _ORDERS]
        # Every other bond of the two atoms takes at least one of their valences.
        room = 1 + min(_VALENCES[ends[0]] - degree[i], _VALENCES[ends[1]] - degree[j])
        orders.append(float(max(1, min(1 + misfits.index(min(misfits)), room))))
    return orders
