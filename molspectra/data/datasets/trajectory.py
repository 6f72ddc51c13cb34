"""Frames of molecular dynamics with energies and forces, in the .npz and zip layouts of MD17 and its relatives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch_geometric.data import Data

from molspectra._validation import checked
from molspectra.data._html import dataset_html
from molspectra.data.io.archives import ZipArchive, refuse_damage
from molspectra.data.units import ENERGY, KCAL_PER_MOL

ENERGY_UNITS = ("kcal/mol", "eV")
"""Units that the energies of the frames can have."""
_ORIGINAL = {"z": "z", "pos": "R", "energy": "E", "forces": "F"}
_REVISED = {"z": "nuclear_charges", "pos": "coords", "energy": "energies", "forces": "forces"}


class Trajectory(Sequence[Data]):
    """Frames of one molecule, in memory, as a sequence of `Data` with `z`, `pos`, `energy` and `forces`.

    An integer index gives a frame. A slice, or a list or tensor of integers, gives a `Trajectory` of some frames. The
    arrays are attributes as well.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions, Å, (T, N, 3).
        energy: Energies, (T,).
        forces: Forces, in the unit of energy per Å, (T, N, 3).
        unit: Unit of energy.

    Example:
        >>> frames = Trajectory(torch.tensor([1, 1]), torch.rand(9, 2, 3), torch.rand(9).double(), torch.rand(9, 2, 3))
        >>> frames[0]
        Data(pos=[2, 3], z=[2], energy=[1], forces=[2, 3])
        >>> len(frames[::2])
        5
    """

    @checked
    def __init__(
        self,
        z: Int64[Tensor, " atoms"],
        pos: Float32[Tensor, "frames atoms 3"],
        energy: Float64[Tensor, " frames"],
        forces: Float32[Tensor, "frames atoms 3"],
        unit: str = "kcal/mol",
    ) -> None:
        self.z, self.pos, self.energy, self.forces, self.unit = z, pos, energy, forces, unit

    @property
    def units(self) -> Mapping[str, str]:
        """Field → its unit."""
        return {"pos": "Å", "energy": self.unit, "forces": f"{self.unit}/Å"}

    def faults(self) -> dict[int, str]:
        """Find frames with numbers that are not finite: number of the frame → its first fault."""
        faults: dict[int, str] = {}
        for name, array in (("position", self.pos), ("energy", self.energy), ("force", self.forces)):
            finite = array.reshape(len(self), -1).isfinite().all(dim=1)
            for frame in (~finite).nonzero().flatten().tolist():
                faults.setdefault(frame, f"the {name} is not finite.")
        return dict(sorted(faults.items()))

    def __len__(self) -> int:
        return self.pos.shape[0]

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> "Trajectory": ...

    def __getitem__(self, index: Any) -> "Data | Trajectory":
        if isinstance(index, slice | Sequence) or (isinstance(index, Tensor) and index.dim() > 0):
            part = index if isinstance(index, slice) else torch.as_tensor(index)
            return Trajectory(self.z, self.pos[part], self.energy[part], self.forces[part], self.unit)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must lie in 0..{len(self) - 1} (or count from the end, as -1); got {index}.")
        # Copies, so that changing a frame does not change the trajectory.
        return Data(
            z=self.z.clone(),
            pos=self.pos[index].clone(),
            energy=self.energy[index].reshape(1).clone(),
            forces=self.forces[index].clone(),
        )

    def __repr__(self) -> str:
        return f"Trajectory: {len(self)} frames of {len(self.z)} atoms, energies in {self.unit}"

    def _repr_html_(self) -> str:
        return dataset_html(self)


def read_trajectories(path: Path, unit: str) -> list[Trajectory]:
    """Read the trajectory of an .npz, or those for training and testing from a zip of two.

    Numbers may be infinite or NaN: see :meth:`Trajectory.faults`.

    Args:
        path: The file, in kcal/mol and Å.
        unit: Unit of the energies wanted, one of `ENERGY_UNITS`.

    Returns:
        One trajectory, or two.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, has another layout or other units.
    """
    try:
        with refuse_damage(path), ZipArchive(path) as archive:
            names = [name for name in archive.names if name.endswith((".npz", ".npy"))]
            if not names or any(name.endswith(".npy") for name in names):  # an .npz is itself a zip of .npy files
                return [_trajectory(path, path.name, unit)]
            parts = [next((n for n in names if n.endswith(f"-{part}.npz")), None) for part in ("train", "test")]
            if None in parts:
                raise ValueError(f"it must hold a -train.npz and a -test.npz, and holds {names}")
            trajectories = []
            for name in parts:
                with archive.open(str(name)) as stream:
                    trajectories.append(_trajectory(stream, f"{path.name}/{name}", unit))
            return trajectories
    except ValueError as error:
        raise ValueError(
            f"{path} must be an .npz with the arrays {list(_ORIGINAL.values())} or {list(_REVISED.values())}, or a "
            f"zip of two such; {str(error).strip() or type(error).__name__}. If it is damaged, fetch it again."
        ) from error


def _trajectory(file: Any, name: str, unit: str) -> Trajectory:
    with np.load(file, allow_pickle=False) as arrays:
        keys = _REVISED if _REVISED["z"] in arrays.files else _ORIGINAL
        if missing := sorted(set(keys.values()) - set(arrays.files)):
            raise ValueError(f"{name} lacks {missing} and holds {arrays.files}")
        for key, expected in (("r_unit", "Ang"), ("e_unit", "kcal/mol")):
            if key in arrays.files and _text(arrays[key]) not in (expected, "unknown"):
                raise ValueError(f"{name} has {key} {_text(arrays[key])!r}, expected {expected!r}; convert it")
        z, pos, energy, forces = (np.asarray(arrays[key]) for key in keys.values())
    energy = energy.reshape(-1)  # (T, 1) in MD17
    _check_shapes(name, z, pos, energy, forces)
    factor = KCAL_PER_MOL / ENERGY[unit]
    return Trajectory(
        torch.from_numpy(z.astype(np.int64)),
        torch.from_numpy(pos.astype(np.float32)),
        torch.from_numpy(energy.astype(np.float64) * factor),
        torch.from_numpy((forces * factor).astype(np.float32)),
        unit,
    )


def _check_shapes(name: str, z: np.ndarray, pos: np.ndarray, energy: np.ndarray, forces: np.ndarray) -> None:
    shape = (len(energy), len(z), 3)
    if z.ndim != 1 or pos.shape != shape or forces.shape != shape or 0 in shape:
        raise ValueError(
            f"{name} has z {z.shape}, positions {pos.shape}, energies {energy.shape} and forces {forces.shape}, which "
            "do not fit together as (N,), (T, N, 3), (T,) and (T, N, 3)"
        )
    if z.dtype.kind not in "iu" or z.min() < 1 or z.max() > 118:
        raise ValueError(f"{name} has atomic numbers {z.tolist()}, which must be integers in 1..118")
    if any(array.dtype.kind not in "fiu" for array in (pos, energy, forces)):
        raise ValueError(f"{name} has arrays of {pos.dtype}, {energy.dtype} and {forces.dtype}, which must be numbers")


def _text(array: np.ndarray) -> str:
    value = array.reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else str(value)
