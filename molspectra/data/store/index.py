"""Index of a store: the file that describes the others and is written last."""

import json
import sys
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molspectra.data.store.layout import Layout

_FORMATS = (1, 2)  # since 2, a field may be a "table"
_FILE = "index.json"
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class StoreIndex:
    """Description of a store.

    Attributes:
        id: Unique name of this copy: a store that is written again has another one.
        num_molecules: Number of molecules.
        layouts: Field → its layout, in the order of the first molecule.
        files: File name → its size in "bytes" and its "crc32".
    """

    id: str
    num_molecules: int
    layouts: Mapping[str, Layout]
    files: Mapping[str, Mapping[str, int]]


def write_index(
    directory: Path, num_molecules: int, layouts: Mapping[str, Layout], files: Mapping[str, Mapping[str, int]]
) -> None:
    """Write the index of a store whose other files are complete."""
    index = {
        "format": 2 if any(layout.kind == "table" for layout in layouts.values()) else 1,
        "byteorder": sys.byteorder,
        "id": uuid.uuid4().hex,
        "num_molecules": num_molecules,
        "fields": {name: layout._asdict() for name, layout in layouts.items()},
        "files": files,
    }
    (directory / _FILE).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def read_index(directory: Path) -> StoreIndex:
    """Read the index of a store, and check that its files are there and have their sizes.

    Raises:
        FileNotFoundError: there is no finished store, or a file of it is missing.
        ValueError: the index is damaged or has another format, or a file has another size.
    """
    path = directory / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{directory} holds no finished store ({_FILE} is missing). Write it with molspectra.data.write_store."
        )
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        form = index["format"], index["byteorder"]
        if form not in [(known, sys.byteorder) for known in _FORMATS]:
            raise _other_format(path, form)
        layouts = {name: Layout(**layout) for name, layout in index["fields"].items()}
        files = {name: {key: int(file[key]) for key in ("bytes", "crc32")} for name, file in index["files"].items()}
        found = StoreIndex(index["id"], int(index["num_molecules"]), layouts, files)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}). Write the store again.") from error
    _check_sizes(directory, found.files)
    return found


def verify_checksums(directory: Path, index: StoreIndex) -> None:
    """Read every file of a store and compare it with its checksum.

    Raises:
        ValueError: a file has changed since it was written. The message names it.
    """
    for name, file in index.files.items():
        checksum = 0
        with (directory / name).open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                checksum = zlib.crc32(chunk, checksum)
        if checksum != file["crc32"]:
            raise ValueError(
                f"{directory / name} is damaged: its CRC-32 is {checksum:#010x}; when it was written it was "
                f"{file['crc32']:#010x}. Write the store again."
            )


def _other_format(path: Path, form: tuple[object, object]) -> ValueError:
    return ValueError(
        f"{path} has format {form[0]!r}, {form[1]!r}-endian; this version reads {_FORMATS[-1]}, "
        f"{sys.byteorder!r}-endian. Update molspectra, or write the store again here."
    )


def _check_sizes(directory: Path, files: Mapping[str, Mapping[str, int]]) -> None:
    for name, file in files.items():
        size = file["bytes"]
        if not (directory / name).is_file():
            raise FileNotFoundError(f"{directory / name} is missing; expected {size} bytes. Write the store again.")
        found = (directory / name).stat().st_size
        if found != size:
            raise ValueError(f"{directory / name} has {found} bytes; expected {size}. Write the store again.")
