"""GEOM: conformers of molecules with their energies and Boltzmann weights."""

import contextlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._download import download
from molspectra._validation import check_choice, check_molecules
from molspectra.data.datasets.stored import StoredDataset
from molspectra.data.io.archives import refuse_damage, tar_members
from molspectra.data.units import HARTREE, KCAL_PER_MOL

_FILES = {"qm9": "qm9_crude.msgpack.tar.gz", "drugs": "drugs_crude.msgpack.tar.gz"}
_URLS = {
    "qm9": "https://dataverse.harvard.edu/api/access/datafile/4327190",
    "drugs": "https://dataverse.harvard.edu/api/access/datafile/4360331",
}
_NEEDED = ("xyz", "totalenergy", "relativeenergy", "boltzmannweight")


class GEOM(StoredDataset):
    """GEOM (Axelrod and Gómez-Bombarelli 2022): conformers from CREST, energies from GFN2-xTB.

    ==================  ===========  ===================================================================
    field               shape        unit, meaning
    ==================  ===========  ===================================================================
    `z` `pos`           (N,) (N, 3)  atomic number, Å
    `energy`            (1,)         eV, total energy of the conformer, float64
    `relative_energy`   (1,)         eV, above the molecule's lowest conformer
    `boltzmann_weight`  (1,)         share of the conformer in the molecule's whole ensemble at 298.15 K
    `degeneracy`        (1,)         number of times it is counted there, int64
    `charge`            (1,)         e, of the molecule, int64
    `smiles`            str
    ==================  ===========  ===================================================================

    The conformers of a molecule are consecutive, lowest energy first, and molecules are in the published order. The
    weights are those of the whole ensemble: if only some conformers are taken, they add up to less than 1. The files
    have no bonds. Guess them with :func:`molspectra.data.perceive_bonds`. All conformers of a molecule have the same
    SMILES: split a data set by it.

    The published archive in MessagePack, `*_crude.msgpack`, is read as a stream, one molecule at a time. The other
    archive, `rdkit_folder`, has the same conformers as pickles of RDKit molecules. It is refused, because unpickling a
    file runs whatever program it holds.

    Args:
        root: Folder of the data set. The published file is expected, or downloaded, in `<root>/raw`.
        subset: "qm9" (133 thousand molecules of QM9) or "drugs" (304 thousand, drug-like).
        transform: Called with each molecule whenever it is accessed.
        pre_transform: Called once with each molecule before it is stored.
        pre_filter: Called once with each molecule. If it returns False, the molecule is left out.
        conformers: Limit of conformers per molecule, those of lowest energy, or None for all (in total 37 million).
        force_reload: Read the published files again in any case.
        skip_broken: List broken records in `skipped` instead of raising an error. A record is a molecule, by its number
            in the file and its SMILES.

    Raises:
        ImportError: msgpack is not installed.
        ValueError: `subset` is unknown, `conformers` is below 1, the file is damaged or truncated, or the folder of
            pickles is in its place.
    """

    license: ClassVar[str] = "as stated by the source"
    source: ClassVar[str] = "https://doi.org/10.7910/DVN/JNGTDF"
    citation: ClassVar[str] = (
        "S. Axelrod and R. Gómez-Bombarelli, GEOM, energy-annotated molecular conformations for property prediction "
        "and molecular generation, Sci. Data 9, 185 (2022), doi:10.1038/s41597-022-01288-4"
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"pos": "Å", "energy": "eV", "relative_energy": "eV", "boltzmann_weight": "1", "charge": "e"}
    )

    def __init__(
        self,
        root: str | Path,
        subset: str = "qm9",
        transform: Callable[[Data], Any] | None = None,
        pre_transform: Callable[[Data], Data] | None = None,
        pre_filter: Callable[[Data], bool] | None = None,
        *,
        conformers: int | None = 1,
        force_reload: bool = False,
        skip_broken: bool = False,
    ) -> None:
        check_choice("subset", subset, list(_FILES))
        if conformers is not None and conformers < 1:
            raise ValueError(f"conformers must be at least 1, or None for all; got {conformers}.")
        self.subset, self.conformers = subset, conformers
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload, skip_broken=skip_broken)

    @property
    def processed_dir(self) -> str:
        """Folder of the stored molecules, one for each subset and number of conformers."""
        return str(Path(self.root) / "processed" / f"{self.subset}_{self.conformers or 'all'}")

    @property
    def raw_file_names(self) -> list[str]:
        """Name of the published archive, or of the file in it, if it has been unpacked."""
        unpacked = _FILES[self.subset].removesuffix(".tar.gz")
        return [unpacked if (Path(self.raw_dir) / unpacked).is_file() else _FILES[self.subset]]

    def download(self) -> None:
        """Fetch the published archive, unless the folder of pickles was put in its place, which is refused."""
        for name in ("rdkit_folder", "rdkit_folder.tar.gz"):
            _refuse_pickles(Path(self.raw_dir) / name)
        _import_msgpack()  # fails now, not after hours of downloading
        download(_URLS[self.subset], self.raw_paths[0])

    def molecules(self) -> Iterator[Data]:
        """Read the conformers, molecule by molecule."""
        path = Path(self.raw_paths[0])
        for number, (smiles, record) in enumerate(read_geom(path), start=1):
            try:
                conformers = _conformers(smiles, record, self.conformers)
            except ValueError as error:
                self.broken(path, f"{number} ({smiles})", error)
                continue
            yield from conformers


def read_geom(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the molecules of one of GEOM's MessagePack files, one at a time, unchanged.

    Args:
        path: A `.msgpack` file, or a `.tar.gz` archive with one, which is not unpacked.

    Yields:
        SMILES and record: `conformers`, a list of dictionaries with `xyz` (rows of atomic number, x, y, z in Å),
        `totalenergy` (Hartree), `relativeenergy` (kcal/mol), `boltzmannweight` and more, and
        properties of the molecule, `charge` and others.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: msgpack is not installed.
        ValueError: the file is damaged, truncated or of another format (the message names the last molecule before
            the damage), or has pickles.
    """
    path = Path(path)
    _refuse_pickles(path)
    last = "none"
    try:
        with refuse_damage(path), contextlib.closing(_streams(path)) as streams:
            for stream, size in streams:
                for smiles, record in _entries(stream, size):
                    last = repr(smiles)
                    yield smiles, record
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged, truncated or no MessagePack file of GEOM: {error} The last molecule read was {last}. "
            f"Fetch it again from {GEOM.source}."
        ) from error


def _refuse_pickles(path: Path) -> None:
    is_pickled = path.name.startswith("rdkit_folder") or path.suffix in (".pickle", ".pkl")
    if is_pickled and (path.exists() or path.suffix in (".pickle", ".pkl")):
        raise ValueError(
            f"{path} holds pickled RDKit molecules, which are not read: unpickling a file runs whatever program it "
            f"holds. The same conformers are in {' and '.join(_FILES.values())} at {GEOM.source}: put one there in "
            "its place, or move the pickles away to have it downloaded."
        )


def _streams(path: Path) -> Generator[tuple[BufferedIOBase, int], None, None]:
    """Open the MessagePack file, or each of those in an archive: stream and length in bytes."""
    if path.name.endswith((".tar.gz", ".tgz")):
        for _, stream, size in tar_members(path, ".msgpack"):
            yield stream, size
    else:
        with path.open("rb") as plain:
            yield plain, path.stat().st_size


def _entries(stream: BufferedIOBase, size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the entries of the maps in a stream one by one, as a map of a thousand molecules takes too much memory."""
    msgpack = _import_msgpack()
    unpacker = msgpack.Unpacker(stream, strict_map_key=False)
    try:
        while unpacker.tell() < size:
            for _ in range(unpacker.read_map_header()):
                smiles, record = unpacker.unpack(), unpacker.unpack()
                if not isinstance(smiles, str) or not isinstance(record, dict):
                    raise ValueError("it must map SMILES to records.")
                yield smiles, record
    except msgpack.OutOfData as error:
        raise ValueError(f"it ends in the middle of a molecule, after {unpacker.tell()} bytes.") from error
    except msgpack.UnpackException as error:
        raise ValueError(f"no MessagePack at byte {unpacker.tell()}.") from error


def _import_msgpack() -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise ImportError("GEOM needs msgpack; install it with `pip install molspectra[datasets]`.") from error
    return msgpack


def _conformers(smiles: str, record: dict[str, Any], limit: int | None) -> list[Data]:
    found = record.get("conformers")
    if not isinstance(found, list) or not found or not all(isinstance(c, dict) for c in found):
        raise ValueError("it must have a list of conformers.")
    if missing := sorted({key for c in found for key in _NEEDED if key not in c}):
        raise ValueError(f"its conformers lack {missing}.")
    if not all(math.isfinite(_number(conformer, "totalenergy")) for conformer in found):
        raise ValueError("its energies must be finite, as conformers are sorted by them.")
    found = sorted(found, key=lambda conformer: _number(conformer, "totalenergy"))
    charge = torch.tensor([_integer(record, "charge", 0)])
    molecules = [_conformer(smiles, conformer, charge) for conformer in found[:limit]]
    if any(not torch.equal(data.z.sort().values, molecules[0].z.sort().values) for data in molecules):
        raise ValueError("its conformers are of different atoms.")
    return molecules


def _conformer(smiles: str, conformer: dict[str, Any], charge: Tensor) -> Data:
    table = _table(conformer["xyz"])
    z, pos = table[:, 0].round().long(), table[:, 1:].float()
    if not torch.equal(z.double(), table[:, 0]):
        raise ValueError(f"atomic numbers must be integers; got {table[:, 0].tolist()}.")
    check_molecules(z, pos, batch=None, values=True)
    energy, relative, weight = (_number(conformer, key) for key in _NEEDED[1:])
    if not (math.isfinite(energy) and math.isfinite(relative) and 0 <= weight <= 1):
        raise ValueError(f"energies must be finite and weights lie in 0..1; got {energy}, {relative}, {weight}.")
    return Data(
        z=z,
        pos=pos,
        energy=torch.tensor([energy * HARTREE], dtype=torch.float64),
        relative_energy=torch.tensor([relative * KCAL_PER_MOL], dtype=torch.float32),
        boltzmann_weight=torch.tensor([weight], dtype=torch.float32),
        degeneracy=torch.tensor([_integer(conformer, "degeneracy", 1)]),
        charge=charge.clone(),
        smiles=smiles,
    )


def _number(record: dict[str, Any], key: str, default: float | None = None) -> float:
    value = record.get(key, default)
    if not isinstance(value, int | float):
        raise ValueError(f"{key} must be a number; got {value!r}.")
    return value


def _integer(record: dict[str, Any], key: str, default: int) -> int:
    value = _number(record, key, default)
    if not abs(value) < 2**31:  # also false for NaN
        raise ValueError(f"{key} must be an integer; got {value}.")
    return int(value)


def _table(rows: Any) -> Tensor:
    """Convert rows of atomic number, x, y and z, (N, 4) float64."""
    try:
        table = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # rows of different lengths, or text among the numbers
        raise ValueError(f"xyz must have rows of atomic number, x, y, z: {error}.") from error
    if table.dim() != 2 or table.shape[1] != 4:
        raise ValueError(f"xyz must have rows of atomic number, x, y, z; got shape {tuple(table.shape)}.")
    return table
