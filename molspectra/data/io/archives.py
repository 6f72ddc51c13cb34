"""Archives and compressed files (zip, tar, gzip) of published data sets, read as streams.

Damage is reported as a `ValueError` that names the file. No member is written outside of the folder it is meant for.
"""

import contextlib
import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

_CHUNK = 1 << 20  # bytes
_DAMAGE = (EOFError, UnicodeDecodeError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def refuse_damage(path: str | Path) -> Iterator[None]:
    """Turn the errors of decompressing and decoding into one that names the file.

    Errors of the operating system, such as a full disk, are no damage and pass through.

    Raises:
        ValueError: the file cannot be decompressed or decoded to its end.
    """
    try:
        yield
    except (*_DAMAGE, OSError) as error:
        # gzip and bz2 report damage as an OSError of their own, without the error number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or truncated: {error}. Delete it and fetch it anew.") from error


def text_lines(stream: Any, path: str | Path) -> Iterator[str]:
    """Read lines of UTF-8 text, with their ends, from a binary stream.

    Unlike io.TextIOWrapper it uses only `read` and does not close the stream.

    Args:
        stream: Object with a method `read(size)`.
        path: File that the stream comes from, for the message.

    Yields:
        Lines.

    Raises:
        ValueError: the stream is damaged.
    """
    rest = b""
    with refuse_damage(path):
        while chunk := stream.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode() + "\n"
        if rest:
            yield rest.decode()


def open_binary(path: Path) -> Any:
    """Open a file, which may be compressed by gzip (.gz), to read its bytes."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def file_lines(path: str | Path) -> Iterator[str]:
    """Read lines, with their ends, of a text file, which may be compressed by gzip (.gz).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = Path(path)
    with path.open("rb") as raw:
        yield from text_lines(gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw, path)


def tar_members(path: str | Path, suffix: str) -> Iterator[tuple[str, BufferedIOBase, int]]:
    """Stream the files of a tar archive, compressed or not, whose names have a suffix.

    The archive is read once, from front to back. Read a file before asking for the next one.

    Yields:
        Name, stream and size in bytes.

    Raises:
        ValueError: the archive is damaged, or has no such file.
    """
    found = False
    with refuse_damage(path), contextlib.ExitStack() as stack:
        opened = stack.enter_context(Path(path).open("rb"))
        zipped = opened.peek(2)[:2] == b"\x1f\x8b"
        # The gzip reader of tarfile ignores checksums.
        source: Any = stack.enter_context(gzip.GzipFile(fileobj=opened)) if zipped else opened
        archive = stack.enter_context(tarfile.open(fileobj=source, mode="r|" if zipped else "r|*"))
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # otherwise grows by a kilobyte per file
            stream = archive.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
            if stream is not None:
                found = True
                yield member.name, cast(BufferedIOBase, stream), member.size
        while source.read(_CHUNK):  # the checksum is at the end
            pass
    if not found:
        raise ValueError(f"{path} has no file *{suffix}. Is it another archive of that name? Fetch it anew.")


def tar_files(path: str | Path, suffix: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Read names and lines of the text files in a tar archive whose names have a suffix. See :func:`tar_members`.

    Raises:
        ValueError: the archive is damaged, or has no such file.
    """
    for name, stream, _ in tar_members(path, suffix):
        yield name, text_lines(stream, path)


class ZipArchive:
    """Zip archive whose files are read in any order.

    Args:
        path: The archive. It stays open until :meth:`close` or the end of a `with` statement.

    Attributes:
        names: Names of the files, without the resource forks that macOS adds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        with refuse_damage(path):
            self._archive = zipfile.ZipFile(path)
        names = (entry.filename for entry in self._archive.infolist() if not entry.is_dir())
        self.names = tuple(name for name in names if not name.startswith("__MACOSX"))

    def open(self, name: str) -> BufferedIOBase:
        """Open a file of the archive as a stream."""
        with refuse_damage(self._path):
            return cast(BufferedIOBase, self._archive.open(name))

    def lines(self, name: str) -> list[str]:
        """Read the lines of a text file of the archive.

        Raises:
            ValueError: it is damaged.
        """
        with self.open(name) as stream:
            return list(text_lines(stream, self._path))

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def __enter__(self) -> "ZipArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def check_zip(path: str | Path) -> None:
    """Check that a file, if it is a zip archive, has the checksums that it states.

    Raises:
        ValueError: a checksum is wrong.
    """
    if not zipfile.is_zipfile(path):
        return
    with refuse_damage(path), zipfile.ZipFile(path) as archive:
        name = archive.testzip()
    if name is not None:
        raise ValueError(f"{path} is damaged: the checksum of {name} in it is wrong. Fetch it anew.")


def unpack(archive: str | Path, directory: str | Path, names: Collection[str], delete: bool = False) -> None:
    """Extract some files of a zip or tar archive, wherever in it they are. Each appears under its name when complete.

    Args:
        archive: The archive.
        directory: Folder that the files go to.
        names: Their paths in that folder. A file of the archive matches if its path ends with this one.
        delete: Delete the archive afterwards.

    Raises:
        ValueError: the archive is damaged, or a file is not in it.
    """
    missing = dict.fromkeys(names)
    seen: list[str] = []
    for member, stream in _members(archive):
        seen.append(member)
        name = next((name for name in missing if f"/{member}".endswith(f"/{name}")), None)
        if name is not None:
            _copy(stream, Path(directory) / name, archive)
            del missing[name]
        if not missing:
            break
    if missing:
        raise ValueError(
            f"{archive} has no {', '.join(missing)}, but {sorted(seen)[:10]}. Delete it and fetch it anew."
        )
    if delete:
        Path(archive).unlink(missing_ok=True)


def _members(archive: str | Path) -> Iterator[tuple[str, BufferedIOBase]]:
    """Open the files of an archive one after the other."""
    if str(archive).endswith(".zip"):
        with ZipArchive(archive) as opened:
            for name in opened.names:
                with opened.open(name) as stream:
                    yield name, stream
    else:
        for name, stream, _ in tar_members(archive, ""):
            yield name, stream


def _copy(stream: BufferedIOBase, target: Path, archive: str | Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with refuse_damage(archive), part.open("wb") as file:
        shutil.copyfileobj(stream, file, _CHUNK)
    os.replace(part, target)
