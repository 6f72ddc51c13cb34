"""Reading published archives as streams: what is damaged is refused by the file's name."""

import contextlib
import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20  # bytes
_DAMAGE = (EOFError, OSError, UnicodeDecodeError, tarfile.TarError, zipfile.BadZipFile, zlib.error)


@contextlib.contextmanager
def refuse_damage(path: str | Path) -> Iterator[None]:
    """Say which file it is that cannot be decompressed or decoded to its end.

    Raises:
        ValueError: it cannot.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged or truncated: {error}. Delete it and fetch it anew.") from error


def text_lines(stream: Any, path: str | Path) -> Iterator[str]:
    """Lines of a binary stream of UTF-8 text, with their ends.

    Unlike io.TextIOWrapper it needs nothing of the stream but `read`, and does not keep it open.

    Args:
        stream: What has `read(size)`.
        path: Where it comes from, for the message.

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


def file_lines(path: str | Path) -> Iterator[str]:
    """Lines of a text file, which may be compressed by gzip (.gz), with their ends.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = Path(path)
    with path.open("rb") as raw:
        yield from text_lines(gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw, path)


def tar_files(path: str | Path, suffix: str) -> Iterator[tuple[str, Iterator[str]]]:
    """Names and lines of the files in a tar archive, compressed or not, whose names have a suffix.

    The archive is read once, from front to back; a file's lines must be taken before the next file is asked for.

    Raises:
        ValueError: the archive is damaged, or has no such file.
    """
    found = False
    with refuse_damage(path), contextlib.ExitStack() as stack:
        opened = stack.enter_context(Path(path).open("rb"))
        zipped = opened.peek(2)[:2] == b"\x1f\x8b"
        # tarfile's own gzip does not look at checksums.
        stream_in: Any = stack.enter_context(gzip.GzipFile(fileobj=opened)) if zipped else opened
        archive = stack.enter_context(tarfile.open(fileobj=stream_in, mode="r|" if zipped else "r|*"))
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # which would otherwise grow by a kilobyte a file
            stream = archive.extractfile(member) if member.isfile() and member.name.endswith(suffix) else None
            if stream is not None:
                found = True
                yield member.name, text_lines(stream, path)
        while stream_in.read(_CHUNK):  # to the end, where the checksum stands
            pass
    if not found:
        raise ValueError(f"{path} has no file *{suffix}. Is it another archive of that name? Fetch it anew.")


def unpack(archive: str | Path, directory: str | Path, names: Iterable[str]) -> None:
    """Take files out of a zip archive, wherever in it they lie, each put in place at once; then delete the archive.

    Args:
        archive: The zip archive.
        directory: Where the files go.
        names: Their names, without folders.

    Raises:
        ValueError: the archive is damaged, or a file is not in it.
    """
    with refuse_damage(archive), zipfile.ZipFile(archive) as opened:
        members = {Path(name).name: name for name in opened.namelist()}
        for name in names:
            if name not in members:
                raise ValueError(f"{archive} has no {name}, but {sorted(members)[:10]}. Delete it and fetch it anew.")
            part = Path(directory) / f"{name}.{os.getpid()}.part"
            with opened.open(members[name]) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            os.replace(part, Path(directory) / name)
    Path(archive).unlink(missing_ok=True)
