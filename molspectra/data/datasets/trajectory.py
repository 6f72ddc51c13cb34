"""Frames of molecular dynamics with energies and forces, as MD17 and its relatives publish them: .npz and zip files."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from torch_geometric.data import Data

from molspectra.data.units import ENERGY, KCAL_PER_MOL

ENERGY_UNITS = ("kcal/mol", "eV")
"""Units of energy that the frames can be in."""
_ORIGINAL = {"z": "z", "pos": "R", "energy": "E", "forces": "F"}
_REVISED = {"z": "nuclear_charges", "pos": "coords", "energy": "energies", "forces": "forces"}
_ZIPPED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, KeyError)


class Trajectory(Sequence[Data]):
    """The frames of one molecule, in memory, as a sequence of `Data` with `z`, `pos`, `energy` and `forces`.

    An integer index gives a frame; a slice, or a list or tensor of integers, gives a `Trajectory` of some frames. The
    arrays are attributes, too.

    Args:
        z: Atomic numbers, (N,).
        pos: Positions, Å, (T, N, 3).
        energy: Energies, (T,).
        forces: Forces, in the unit of energy by Å, (T, N, 3).
        unit: Unit of energy.

    Example:
        >>> frames = Trajectory(torch.tensor([1, 1]), torch.rand(9, 2, 3), torch.rand(9).double(), torch.rand(9, 2, 3))
        >>> frames[0]
        Data(pos=[2, 3], z=[2], energy=[1], forces=[2, 3])
        >>> len(frames[::2])
        5
    """

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
        # Copies: what a user changes does not change the trajectory.
        return Data(
            z=self.z.clone(),
            pos=self.pos[index].clone(),
            energy=self.energy[index].reshape(1).clone(),
            forces=self.forces[index].clone(),
        )

    def __repr__(self) -> str:
        return f"Trajectory: {len(self)} frames of {len(self.z)} atoms, energies in {self.unit}"


def read_trajectories(path: Path, unit: str) -> list[Trajectory]:
    """The one trajectory of an .npz; those for training and for testing of a zip of two.

    Args:
        path: The file, in kcal/mol and Å.
        unit: Unit of the energies wanted, one of `ENERGY_UNITS`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or of another layout, or in other units.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith((".npz", ".npy")) and not n.startswith("__MACOSX")]
            if not names or any(name.endswith(".npy") for name in names):
                return [_trajectory(path, path.name, unit)]
            parts = [next((n for n in names if n.endswith(f"-{part}.npz")), None) for part in ("train", "test")]
            if None in parts:
                raise ValueError(f"it must hold a -train.npz and a -test.npz, and holds {names}")
            trajectories = []
            for name in parts:
                with archive.open(str(name)) as stream:
                    trajectories.append(_trajectory(stream, f"{path.name}/{name}", unit))
            return trajectories
    except FileNotFoundError:
        raise
    except _ZIPPED as error:
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
    _check_arrays(name, z, pos, energy, forces)
    factor = KCAL_PER_MOL / ENERGY[unit]
    return Trajectory(
        torch.from_numpy(z.astype(np.int64)),
        torch.from_numpy(pos.astype(np.float32)),
        torch.from_numpy(energy.astype(np.float64) * factor),
        torch.from_numpy((forces * factor).astype(np.float32)),
        unit,
    )


def _check_arrays(name: str, z: np.ndarray, pos: np.ndarray, energy: np.ndarray, forces: np.ndarray) -> None:
    shape = (len(energy), len(z), 3)
    if z.ndim != 1 or pos.shape != shape or forces.shape != shape or 0 in shape:
        raise ValueError(
            f"{name} has z {z.shape}, positions {pos.shape}, energies {energy.shape} and forces {forces.shape}, which "
            "do not fit together as (N,), (T, N, 3), (T,) and (T, N, 3)"
        )
    if z.dtype.kind not in "iu" or z.min() < 1 or z.max() > 118:
        raise ValueError(f"{name} has atomic numbers {z.tolist()}, which must be integers in 1..118")
    for key, array in (("position", pos), ("energy", energy), ("force", forces)):
        finite = np.isfinite(array).reshape(len(energy), -1).all(axis=1)
        if not finite.all():
            raise ValueError(f"{name} must be finite; the {key} in frame {int(np.argmin(finite))} is not")


def _text(array: np.ndarray) -> str:
    value = array.reshape(-1)[0]
    return value.decode() if isinstance(value, bytes) else str(value)
