"""Conversion of molecules from and to ASE."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import check_molecules, checked
from molspectra.data.chemistry.distances import check_apart
from molspectra.data.molecule import validate


@checked
def from_ase(atoms: Any) -> Data:
    """Convert an ASE `Atoms` object to a molecule without bonds.

    Args:
        atoms: An `ase.Atoms`, not periodic.

    Returns:
        `z` and `pos` (float32, Å). If the calculator of `atoms` holds results for these positions, also `energy` (1,)
        float64 in eV and `forces` (N, 3) float32 in eV/Å. Nothing is computed here.

    Raises:
        ImportError: ASE is not installed.
        TypeError: `atoms` is not an `ase.Atoms`.
        ValueError: the system is periodic or empty, an atomic number is out of range, a position is not finite, or two
            atoms are in one place.

    Example:
        >>> from ase import Atoms
        >>> from_ase(Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]))
        Data(pos=[3, 3], z=[3])
    """
    try:
        from ase import Atoms
        from ase.calculators.calculator import PropertyNotImplementedError
    except ImportError as error:
        raise ImportError("from_ase needs ASE; install it with `pip install molspectra[ase]`.") from error
    if not isinstance(atoms, Atoms):
        raise TypeError(f"atoms must be an ase.Atoms; got {type(atoms).__name__}. Pass a trajectory frame by frame.")
    if bool(np.any(atoms.pbc)):
        raise ValueError(
            f"atoms must not be periodic; got pbc={atoms.pbc.tolist()}: neighbors across the cell would be missed. If "
            "the cell is only a box around a molecule that lies whole in it, set atoms.pbc = False."
        )
    data = Data(
        z=torch.tensor(atoms.numbers, dtype=torch.int64), pos=torch.tensor(atoms.positions, dtype=torch.float32)
    )
    check_molecules(data.z, data.pos, batch=None)
    check_apart(data.z, data.pos)
    results = {}
    for name in ("energy", "forces"):
        try:
            results[name] = atoms.calc and atoms.calc.get_property(name, atoms, allow_calculation=False)
        except PropertyNotImplementedError:
            results[name] = None
    if results["energy"] is not None:
        data.energy = torch.tensor([results["energy"]], dtype=torch.float64)
    if results["forces"] is not None:
        data.forces = torch.tensor(results["forces"], dtype=torch.float32)
    return data


@checked
def to_ase(data: Data) -> Any:
    """Convert a molecule to an ASE `Atoms`, which has no bonds.

    Args:
        data: `z` and `pos` (Å). `energy`, one number in eV, and `forces` (N, 3), in eV/Å, become the results of a
            `SinglePointCalculator` unless they are NaN, and `formal_charge` (N,) the initial charges.

    Returns:
        An `ase.Atoms`, not periodic, with positions in float64.

    Raises:
        ImportError: ASE is not installed.
        TypeError: `data` is not a `Data`, or a field has a wrong dtype.
        ValueError: `data` is a `Batch`, or a field has a wrong shape or value.

    Example:
        >>> to_ase(ms.data.from_smiles("O")).get_chemical_formula()
        'H2O'
    """
    try:
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator
    except ImportError as error:
        raise ImportError("to_ase needs ASE; install it with `pip install molspectra[ase]`.") from error
    if isinstance(data, Batch):
        raise ValueError("data must be one molecule; got a Batch. Convert each of batch.to_data_list().")
    validate(data, kinds=())
    atoms = Atoms(numbers=data.z.cpu().numpy(), positions=data.pos.detach().cpu().double().numpy())
    charges = data.get("formal_charge")
    if isinstance(charges, Tensor):
        atoms.set_initial_charges(charges.cpu().numpy())
    results: dict[str, Any] = {}
    if data.get("energy") is not None:
        results["energy"] = _one_number(data.energy)
    if data.get("forces") is not None:
        if not isinstance(data.forces, Tensor) or data.forces.shape != data.pos.shape:
            raise ValueError(f"forces must be a tensor of shape {tuple(data.pos.shape)}; got {_shape(data.forces)}.")
        results["forces"] = data.forces.detach().cpu().double().numpy()
    results = {name: value for name, value in results.items() if not np.isnan(value).any()}  # NaN: a missing label
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _one_number(energy: Any) -> float:
    if isinstance(energy, Tensor) and energy.numel() != 1:
        raise ValueError(f"energy must be one number; got shape {tuple(energy.shape)}. Take one of them.")
    try:
        return float(energy)
    except (TypeError, ValueError):
        raise ValueError(f"energy must be one number; got {energy!r:.60}.") from None


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
