"""Fetching a file: resumed where it broke off, checked, and put in place at once."""

import contextlib
import hashlib
import http.client
import importlib
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch the same file there are not kept apart
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # s without a byte
_SCHEMES = ("https", "http", "file")
_BROKEN_OFF = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)  # but not a full disk


def download(url: str, path: str | Path, sha256: str | None = None, *, size: int | None = None) -> Path:
    """Fetch a file, unless it is there already.

    It grows as `<path>.part` and takes its name once it is complete and right, so `path` never holds half a file. What
    an interrupted run has left is continued with HTTP's Range, if the server can and its file is still the same (ETag,
    Last-Modified, size), and fetched anew otherwise. Of several processes one fetches and the others wait for it.
    A progress bar is shown if tqdm is installed and standard error is a terminal.

    Args:
        url: An https, http or file URL.
        path: Where the file goes; its folder is made if need be. A file that is there is kept untouched if it has the
            checksum (where none is given: the size; where neither is, any file will do) and replaced otherwise.
        sha256: Its checksum, 64 hexadecimal digits, if known.
        size: Its length in bytes, if known.

    Returns:
        `path`.

    Raises:
        ValueError: what arrived has another checksum or size, and was deleted; or the URL or checksum is malformed.
        ConnectionError: there is no connection, the server refuses, it broke off (run again: it resumes), or the
            environment variable MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set to 1 (not for file URLs).

    Example:
        >>> source = tmp_path / "source.txt"
        >>> _ = source.write_text("spectra")
        >>> download(source.as_uri(), tmp_path / "here" / "copy.txt", size=7).read_text()
        'spectra'
    """
    path, sha256 = Path(path), _validated(url, sha256)
    if path.is_file() and _problem(path, sha256, size) is None:
        return path
    if is_offline() and not url.startswith("file:"):
        raise ConnectionError(
            f"{path} is not there{' as expected' if path.is_file() else ''}, and MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE "
            f"forbids to fetch it. {_by_hand(url, path, sha256)}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path, ".part")
    with locked(_beside(path, ".part.lock")):
        if not (path.is_file() and _problem(path, sha256, size) is None):  # nobody else fetched it meanwhile
            _fetch(url, part, _by_hand(url, path, sha256))
            _beside(part, ".json").unlink(missing_ok=True)
            if problem := _problem(part, sha256, size):
                part.unlink()
                raise ValueError(
                    f"{url} {problem}; what arrived was deleted. The file has changed, or was replaced on its way, by "
                    f"the page of a proxy for instance. {_by_hand(url, path, sha256)}"
                )
            os.replace(part, path)
    return path


def is_offline() -> bool:
    """Whether the environment forbids to use the network: MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is 1, true, yes or on.

    Example:
        >>> is_offline()
        False
    """
    names = ("MOLSPECTRA_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"} for name in names)


def _validated(url: str, sha256: str | None) -> str | None:
    """The checksum in lower case."""
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        raise ValueError(f"url must begin with one of {', '.join(f'{name}:' for name in _SCHEMES)}; got {url!r}.")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits; got {sha256!r}.")
    return sha256 and sha256.lower()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _by_hand(url: str, path: Path, sha256: str | None) -> str:
    checksum = f" (sha256 {sha256})" if sha256 else ""
    return f"Or fetch {url} by hand{checksum} and put it at {path}."


def _problem(path: Path, sha256: str | None, size: int | None) -> str | None:
    """How a file differs from what is expected."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, expected {size}"
    if sha256 is None:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return None if digest.hexdigest() == sha256 else f"has sha256 {digest.hexdigest()}, expected {sha256}"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; the system frees it when its holder ends, however it ends."""
    if fcntl is None:
        yield
        return
    while True:
        file = path.open("a")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        # The holder removes the file, and then this one may have been locked under a name that is gone.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _fetch(url: str, part: Path, by_hand: str) -> None:
    """Make `part` complete, from where it is if that can be."""
    try:
        if not _attempt(url, part):
            part.unlink(missing_ok=True)
            _attempt(url, part)
    except urllib.error.HTTPError as error:
        error.close()
        raise ConnectionError(f"{url} answers {error.code} {error.reason}. {by_hand}") from error
    except urllib.error.URLError as error:
        raise ConnectionError(f"{url} cannot be reached: {error.reason}. {by_hand}") from error
    except _BROKEN_OFF as error:
        raise ConnectionError(
            f"{url} broke off after {part.stat().st_size if part.exists() else 0} bytes ({error}); run again: it "
            f"resumes. {by_hand}"
        ) from error


def _attempt(url: str, part: Path) -> bool:
    """Ask for what is missing; False if what is there turns out to be no beginning of the file."""
    have, known = _state(url, part)
    headers = {"User-Agent": "molspectra", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if known["validator"]:
            headers["If-Range"] = known["validator"]
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        error.close()
        return bool(have == known["total"])  # nothing is missing
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        start, total = _extent(response.headers, resumed)
        offered = {"url": url, "validator": _validator(response.headers), "total": total}
        if resumed and (start != have or offered != known):
            return False
        _beside(part, ".json").write_text(json.dumps(offered))
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total)
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise ConnectionResetError(f"of {total}")
    return True


def _state(url: str, part: Path) -> tuple[int, dict[str, Any]]:
    """How many bytes are there that can be continued, and what the server said of the file they are from."""
    try:
        known = json.loads(_beside(part, ".json").read_text())
        if known["url"] == url and (known["validator"] or known["total"]):
            return part.stat().st_size, known
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return 0, {}


def _extent(headers: Any, resumed: bool) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long the whole file is."""
    if resumed:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if match is None:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = headers.get("Content-Length")
    return 0, int(length) if length else None


def _validator(headers: Any) -> str | None:
    """What tells this version of the file from others; weak tags do not, byte by byte."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _copy(source: Any, target: Any, start: int, total: int | None) -> None:
    with _progress(Path(target.name).stem, start, total) as advance:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            advance(len(chunk))


@contextlib.contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar on the terminal, if there is one."""
    tqdm: Any = None
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            tqdm = importlib.import_module("tqdm").tqdm
    if tqdm is None:
        yield lambda count: None
    else:
        with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True, unit_divisor=1024) as bar:
            yield bar.update
