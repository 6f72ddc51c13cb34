"""One attempt to fetch a file over HTTP, from the byte at which an earlier attempt ended."""

import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from molspectra._download.progress import progress_bar

_CHUNK = 1 << 20
_TIMEOUT = 60.0  # s without a byte


def fetch_rest(url: str, part: Path) -> bool:
    """Fetch the missing bytes of a file.

    Beside the bytes, `<part>.json` records the version of the file that they come from. Bytes of two versions must not
    be joined.

    Args:
        url: Address of the file.
        part: Bytes that have arrived so far, if any. The new ones are appended.

    Returns:
        True if the file is complete. False if the bytes in `part` are not the beginning of the file that the server
        has now: delete them and try again.

    Raises:
        OSError: the server refuses, or the connection breaks off.
    """
    have, known = _arrived(url, part)
    # Compressed on the way, the byte ranges of the file and of the transfer would differ.
    headers = {"User-Agent": "molspectra", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if known["validator"]:
            headers["If-Range"] = known["validator"]  # sends all of the file if it has changed
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        error.close()
        return bool(have == known["total"])  # the range begins at the end of the file: nothing is missing
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        start, total = _extent(response.headers, resumed)
        offered = {"url": url, "validator": _validator(response.headers), "total": total}
        if resumed and (start != have or offered != known):
            return False
        record_of(part).write_text(json.dumps(offered))
        with part.open("ab" if resumed else "wb") as file:
            _copy(response, file, start, total)
    arrived = part.stat().st_size
    if total is not None and arrived < total:
        raise ConnectionResetError(f"of {total}")
    return True


def record_of(part: Path) -> Path:
    """Return the place of the record that belongs to the bytes in `part`."""
    return part.with_name(part.name + ".json")


def _arrived(url: str, part: Path) -> tuple[int, dict[str, Any]]:
    """Return the number of bytes that can be continued, and the server's description of the file they come from."""
    try:
        known = json.loads(record_of(part).read_text())
        if known["url"] == url and (known["validator"] or known["total"]):
            return part.stat().st_size, known
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return 0, {}


def _extent(headers: Any, resumed: bool) -> tuple[int, int | None]:
    """Return the position of the body in the file, and the length of the whole file if known."""
    if resumed:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
        if match is None:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = headers.get("Content-Length")
    return 0, int(length) if length else None


def _validator(headers: Any) -> str | None:
    """Return the text that distinguishes this version of the file from others: a strong ETag or the date."""
    tag = headers.get("ETag")
    # Weak tags stand for equal meaning, not for equal bytes.
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _copy(source: Any, target: Any, start: int, total: int | None) -> None:
    """Copy a body to a file."""
    with progress_bar(Path(target.name).stem, start, total) as advance:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            advance(len(chunk))
