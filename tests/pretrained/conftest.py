"""A web server on the loopback interface that breaks off, refuses and changes its files on demand."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Server:
    """Files and answers of the server, and the requests it has received."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    """True if it serves byte ranges and sends an ETag."""
    validators: bool = True
    length: bool = True
    """True if it sends the length of a file."""
    cut_after: int | None = None
    """Break off every answer after this many bytes of the body."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Method, path, body and headers of every request."""
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    """(Method, path without query) → status, body and headers of answers that are no files; or body → these."""
    file_headers: dict[str, str] = field(default_factory=dict)
    """Sent with every file."""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length).decode(errors="replace")
        self.requests.append({**handler.headers, "method": handler.command, "path": handler.path, "body": body})
        if (handler.command, path) in self.answers:
            answer = self.answers[handler.command, path]
            self._send(handler, *(answer(body) if callable(answer) else answer))
        elif path.lstrip("/") in self.files:
            self._send_file(handler, self.files[path.lstrip("/")])
        else:
            self._send(handler, 404, b"", {})

    def _send_file(self, handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'} if self.validators else {}
        headers |= self.file_headers
        wanted = handler.headers.get("Range")
        if not (wanted and self.ranges and handler.headers.get("If-Range", headers.get("ETag")) == headers.get("ETag")):
            self._send(handler, 200, content, headers)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self._send(handler, 416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
            return
        extent = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        self._send(handler, 206, content[start:], headers | extent)

    def _send(self, handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes, headers: dict) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body[: self.cut_after])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server, which nothing between it and the test answers for."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            state.answer(self)

        do_GET = do_HEAD = do_POST = do_PUT = _answer

        def log_message(self, *arguments: object) -> None:
            pass

    for name in ("MOLSPECTRA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_address[1]}/"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        running.shutdown()
        thread.join()
