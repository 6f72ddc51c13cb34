"""MD17 and revised MD17: frames of ab initio molecular dynamics with energies and forces."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor
from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.datasets.trajectory import ENERGY_UNITS, Trajectory, read_trajectories
from molspectra.data.io.archives import unpack

_URL = "http://www.quantum-machine.org/gdml/data/npz/"
_REVISED_URL = "https://archive.materialscloud.org/record/file?filename=rmd17.tar.bz2&record_id=466"
_FILES = {
    "aspirin": "md17_aspirin.npz",
    "azobenzene": "azobenzene_dft.npz",
    "benzene": "md17_benzene2017.npz",
    "benzene FHI-aims": "benzene2018_dft.npz",
    "ethanol": "md17_ethanol.npz",
    "malonaldehyde": "md17_malonaldehyde.npz",
    "naphthalene": "md17_naphthalene.npz",
    "paracetamol": "paracetamol_dft.npz",
    "salicylic acid": "md17_salicylic.npz",
    "toluene": "md17_toluene.npz",
    "uracil": "md17_uracil.npz",
    "aspirin CCSD": "aspirin_ccsd.zip",
    "benzene CCSD(T)": "benzene_ccsd_t.zip",
    "ethanol CCSD(T)": "ethanol_ccsd_t.zip",
    "malonaldehyde CCSD(T)": "malonaldehyde_ccsd_t.zip",
    "toluene CCSD(T)": "toluene_ccsd_t.zip",
}
_REVISED_FILES = {
    name: f"rmd17/npz_data/rmd17_{name.removesuffix(' acid')}.npz"
    for name in _FILES
    if "CCSD" not in name and "FHI" not in name
}
_SPLITS = range(1, 6)


class MD17(StoredDataset):
    """MD17 (Chmiela et al. 2017, 2018) and revised MD17 (Christensen and von Lilienfeld 2020): one molecule's dynamics.

    =========  ===========  ====================================================
    field      shape        unit, meaning
    =========  ===========  ====================================================
    `z` `pos`  (N,) (N, 3)  atomic number, Å
    `energy`   (1,)         kcal/mol as published, or eV (total energy, float64)
    `forces`   (N, 3)       kcal/mol/Å or eV/Å (minus the gradient of `energy`)
    =========  ===========  ====================================================

    Frames are in the published order. In MD17 they are correlated in time, so that a random split tests less than it
    seems to. The frames of revised MD17 were drawn from MD17 at random, and its authors ask to train on no more than
    1000 of them. The files have no bonds.

    Args:
        root: Folder of the data set. The published files are expected, or downloaded, in `<root>/raw`.
        name: "aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde", "naphthalene", "paracetamol", "salicylic
            acid", "toluene" or "uracil". In MD17 alone also "benzene FHI-aims", "aspirin CCSD", and "benzene",
            "ethanol", "malonaldehyde" or "toluene" followed by " CCSD(T)". In these coupled-cluster sets the published
            training frames precede the test frames.
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        revised: Take revised MD17, the same geometries with tightly converged PBE/def2-SVP.
        unit: "kcal/mol", as published, or "eV".
        force_reload: Read the published files again in any case.
        skip_broken: List frames with numbers that are not finite in `skipped` instead of raising an error.

    Raises:
        ValueError: the molecule or unit is unknown, or a file is damaged.
    """

    license: ClassVar[str] = "as stated by the source"
    source: ClassVar[str] = "http://www.sgdml.org/#datasets"
    citation: ClassVar[str] = (
        "S. Chmiela et al., Sci. Adv. 3, e1603015 (2017), doi:10.1126/sciadv.1603015; Nat. Commun. 9, 3887 (2018), "
        "doi:10.1038/s41467-018-06169-2. Revised: A. S. Christensen and O. A. von Lilienfeld, Mach. Learn.: Sci. "
        "Technol. 1, 045018 (2020), doi:10.1088/2632-2153/abba6f"
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType({"pos": "Å", "energy": "kcal/mol", "forces": "kcal/mol/Å"})

    def __init__(
        self,
        root: str | Path,
        name: str = "ethanol",
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        revised: bool = False,
        unit: str = "kcal/mol",
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        known = _REVISED_FILES if revised else _FILES
        if name not in known:
            raise ValueError(f"name must be one of {list(known)}{' where revised=True' * revised}; got {name!r}.")
        check_choice("unit", unit, ENERGY_UNITS)
        self.name, self.revised, self.unit = name, revised, unit
        # The class attribute states the unit of the files, the attribute of the object its own.
        self.units = {"pos": "Å", "energy": unit, "forces": f"{unit}/Å"}  # type: ignore[misc]
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @classmethod
    def from_file(cls, path: str | Path, unit: str = "kcal/mol") -> Trajectory:
        """Read the frames of one file: an .npz in the layout of MD17 or revised MD17, or a zip of two such.

        Args:
            path: The file. Energies and forces in it must be in kcal/mol and Å, as usual in MD17's layout. A file may
                state its units as `e_unit` and `r_unit`, which are then checked. A zip has a -train.npz and a
                -test.npz.
            unit: Unit of the energies wanted, "kcal/mol" or "eV".

        Returns:
            All frames, in memory.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged or truncated, lacks an array, or has arrays of inconsistent shapes or impossible
                values. The message names the file and the frame.

        Example:
            >>> import numpy as np
            >>> frames = {"R": np.zeros((5, 1, 3)), "E": np.zeros((5, 1)), "F": np.zeros((5, 1, 3))}
            >>> np.savez(tmp_path / "helium.npz", z=np.array([2]), **frames)
            >>> MD17.from_file(tmp_path / "helium.npz")
            Trajectory: 5 frames of 1 atoms, energies in kcal/mol
        """
        check_choice("unit", unit, ENERGY_UNITS)
        frames = _read_frames(Path(path), unit)
        for number, fault in frames.faults().items():
            raise ValueError(f"{path} must be finite; in frame {number} {fault} Fetch the file again.")
        return frames

    @property
    def processed_dir(self) -> str:
        """Folder of the stored frames, one for each molecule, version and unit."""
        version = "revised " * self.revised + f"{self.name} {self.unit}"
        return str(Path(self.root) / "processed" / re.sub(r"\W+", "_", version))

    @property
    def raw_file_names(self) -> list[str]:
        """Names of the molecule's file and, for revised MD17, of its splits."""
        if not self.revised:
            return [_FILES[self.name]]
        return [_REVISED_FILES[self.name], *(_split_file(part, k) for k in _SPLITS for part in ("train", "test"))]

    def download(self) -> None:
        """Fetch the molecule's file, or extract it from the archive of all molecules in the case of revised MD17."""
        raw = Path(self.raw_dir)
        if not self.revised:
            download(_URL + _FILES[self.name], raw / _FILES[self.name])
            return
        archive = raw / "rmd17.tar.bz2"
        if not archive.exists():
            download(_REVISED_URL, archive)
        unpack(archive, raw, self.raw_file_names)

    def molecules(self) -> Iterator[Data]:
        """Read the frames in the published order. The arrays of one file are in memory meanwhile."""
        frames = _read_frames(Path(self.raw_paths[0]), self.unit)
        faults = frames.faults()
        for number, data in enumerate(frames):
            if number in faults:
                self.broken(self.raw_paths[0], f"frame {number}", faults[number])
            else:
                yield data

    def split(self, k: int = 1) -> tuple[Int64[Tensor, " train"], Int64[Tensor, " test"]]:
        """Return the published splits: `dataset[train], dataset[test]`.

        Args:
            k: Number of the split: 1 to 5 for revised MD17 (1000 frames each for training and for testing), 1 for the
                coupled-cluster sets.

        Returns:
            Indices of frames for training and for testing.

        Raises:
            ValueError: the split does not exist, its file is damaged, or frames were left out, so that the published
                numbers point at other frames.
        """
        if self.pre_filter is not None or self.skipped or len(self) != self.len():
            raise ValueError(
                f"split needs all {self.len()} published frames, in their order; some were left out, by pre_filter, by "
                "skip_broken or by selecting. Split the whole data set."
            )
        if self.revised and k in _SPLITS:
            files = [self._published(_split_file(part, k)) for part in ("train", "test")]
            return _read_split(files[0], len(self)), _read_split(files[1], len(self))
        if "CCSD" in self.name and k == 1:
            training = len(read_trajectories(self._published(self.raw_file_names[0]), self.unit)[0])
            return torch.arange(training), torch.arange(training, len(self))
        published = "1 to 5" if self.revised else "1, of the coupled-cluster sets alone"
        raise ValueError(f"k must be the number of a published split ({published}); got {k} for {self.name!r}.")

    def _published(self, name: str) -> Path:
        """Return the path of a published file that a split needs."""
        path = Path(self.raw_dir) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"split reads {path}, which has been deleted. Pass force_reload=True once, and it is fetched again."
            )
        return path


def _read_frames(path: Path, unit: str) -> Trajectory:
    """Read all frames of a file, those with numbers that are not finite included."""
    parts = read_trajectories(path, unit)
    if any(not torch.equal(part.z, parts[0].z) for part in parts):
        raise ValueError(f"{path} must hold one molecule; its parts have different atoms. Fetch the file again.")
    pos, energy, forces = (torch.cat([getattr(part, key) for part in parts]) for key in ("pos", "energy", "forces"))
    return Trajectory(parts[0].z, pos, energy, forces, unit)


def _split_file(part: str, k: int) -> str:
    return f"rmd17/splits/index_{part}_{k:02d}.csv"


def _read_split(path: Path, total: int) -> Tensor:
    frames: list[int] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        text = line.strip()
        if not text.isdecimal() or int(text) >= total:
            raise ValueError(f"{path}, line {number}: expected the number of a frame, 0 to {total - 1}; got {text!r}.")
        frames.append(int(text))
    if len(set(frames)) != len(frames) or not frames:
        raise ValueError(f"{path} must list frames, each once; it lists {len(frames)}, {len(set(frames))} different.")
    return torch.tensor(frames)
