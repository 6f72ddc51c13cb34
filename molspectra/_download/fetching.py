"""Files by address: fetched unless they are there, and checked."""

import hashlib
import http.client
import os
import re
import ssl
import urllib.error
import urllib.parse
from pathlib import Path

from molspectra._download.locking import locked
from molspectra._download.resuming import fetch_rest, record_of

_SCHEMES = ("https", "http", "file")
# Other errors, such as a full disk, are not blamed on the network.
_INTERRUPTIONS = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)


def download(url: str, path: str | Path, sha256: str | None = None, *, size: int | None = None) -> Path:
    """Fetch a file, unless it is there already.

    It grows as `<path>.part` and gets its name when it is complete and checked, so that `path` never holds half a file.
    The remains of an interrupted run are continued with HTTP's Range if the server supports it and its file has not
    changed (ETag, Last-Modified, size). Otherwise the file is fetched again. If several processes need the file, one
    fetches it and the others wait. A progress bar is shown if tqdm is installed and standard error is a terminal.

    Args:
        url: An https, http or file URL.
        path: Place of the file. Its folder is made if need be. An existing file is kept untouched if it has the
            checksum (the size if no checksum is given, any content if neither is) and replaced otherwise.
        sha256: Checksum of the file, 64 hexadecimal digits, if known.
        size: Length of the file in bytes, if known.

    Returns:
        `path`.

    Raises:
        ValueError: the fetched file has another checksum or size, and was deleted, or the URL or checksum is malformed.
        ConnectionError: the server cannot be reached or refuses, the connection broke off (run again: it resumes), or
            the environment variable MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set to 1 (not for file URLs).

    Example:
        >>> source = tmp_path / "source.txt"
        >>> _ = source.write_text("spectra")
        >>> download(source.as_uri(), tmp_path / "here" / "copy.txt", size=7).read_text()
        'spectra'
    """
    path, sha256 = Path(path), _checked(url, sha256)
    if path.is_file() and _problem(path, sha256, size) is None:
        return path
    remedy = _by_hand(url, path, sha256)
    if is_offline() and not url.startswith("file:"):
        raise ConnectionError(
            f"{path} is not there{' as expected' if path.is_file() else ''}, and MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE "
            f"forbids to fetch it. {remedy}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with locked(path.with_name(path.name + ".part.lock")):
        # Another process may have fetched the file while this one waited for the lock.
        if not (path.is_file() and _problem(path, sha256, size) is None):
            _fetch(url, part, remedy)
            record_of(part).unlink(missing_ok=True)
            if problem := _problem(part, sha256, size):
                part.unlink()
                raise ValueError(
                    f"{url} {problem}; the fetched file was deleted. The file has changed, or was replaced on its way, "
                    f"for instance by the page of a proxy. {remedy}"
                )
            os.replace(part, path)
    return path


def is_offline() -> bool:
    """Return True if MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE in the environment is 1, true, yes or on.

    Example:
        >>> is_offline()
        False
    """
    names = ("MOLSPECTRA_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"} for name in names)


def _checked(url: str, sha256: str | None) -> str | None:
    """Return the checksum in lower case.

    Raises:
        ValueError: the URL or the checksum is malformed.
    """
    if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
        raise ValueError(f"url must begin with one of {', '.join(f'{name}:' for name in _SCHEMES)}; got {url!r}.")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits; got {sha256!r}.")
    return sha256 and sha256.lower()


def _by_hand(url: str, path: Path, sha256: str | None) -> str:
    """Return the way to fetch a file by hand, for messages."""
    checksum = f" (sha256 {sha256})" if sha256 else ""
    return f"Or fetch {url} by hand{checksum} and put it at {path}."


def _problem(path: Path, sha256: str | None, size: int | None) -> str | None:
    """Return how a file differs from the expected one, None if it does not."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"has {found} bytes, expected {size}"
    if sha256 is None:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return None if digest.hexdigest() == sha256 else f"has sha256 {digest.hexdigest()}, expected {sha256}"


def _fetch(url: str, part: Path, remedy: str) -> None:
    """Complete `part`, continuing it if possible.

    Raises:
        ConnectionError: the server cannot be reached or refuses, or the connection broke off.
    """
    try:
        if not fetch_rest(url, part):
            part.unlink(missing_ok=True)
            fetch_rest(url, part)
    except urllib.error.HTTPError as error:
        error.close()
        raise ConnectionError(f"{url} answers {error.code} {error.reason}. {remedy}") from error
    except urllib.error.URLError as error:
        raise ConnectionError(f"{url} cannot be reached: {error.reason}. {remedy}") from error
    except _INTERRUPTIONS as error:
        raise ConnectionError(
            f"{url} broke off after {part.stat().st_size if part.exists() else 0} bytes ({error}); run again: it "
            f"resumes. {remedy}"
        ) from error
