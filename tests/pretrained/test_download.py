"""Fetching files from a server that breaks off, changes its mind and lies."""

import errno
import hashlib
import io
import subprocess
import sys
import threading

import pytest

from molspectra import _download
from molspectra._download import download, resuming

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def served(server):
    server.files["file.bin"] = CONTENT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(server):
    return [request.get("Range") for request in server.requests]


@pytest.fixture
def broken_off(server, tmp_path):
    """A path at which a first attempt has left 1000 bytes."""
    path = tmp_path / "file.bin"
    server.cut_after = 1000
    with pytest.raises(ConnectionError, match=r"broke off after 1000 bytes .*run again: it resumes"):
        download(server.url + "file.bin", path)
    server.cut_after = None
    assert names(tmp_path) == ["file.bin.part", "file.bin.part.json"]
    return path


def test_a_file_arrives(server, tmp_path):
    path = tmp_path / "deep" / "down" / "file.bin"
    assert download(server.url + "file.bin", str(path), SHA256.upper(), size=len(CONTENT)) == path
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.bin"]


@pytest.mark.parametrize("expected", [{}, {"sha256": SHA256}, {"size": len(CONTENT)}], ids=str)
def test_a_file_that_is_right_is_not_touched(server, tmp_path, expected):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT)
    before = path.stat()
    download(server.url + "file.bin", path, **expected)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert server.requests == []


@pytest.mark.parametrize("expected", [{"sha256": SHA256}, {"size": len(CONTENT)}], ids=str)
def test_a_file_that_is_wrong_is_replaced(server, tmp_path, expected):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT[:-1])
    download(server.url + "file.bin", path, **expected)
    assert path.read_bytes() == CONTENT


def test_it_resumes(server, broken_off):
    download(server.url + "file.bin", broken_off, SHA256)
    assert broken_off.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=1000-"]
    assert names(broken_off.parent) == ["file.bin"]


def test_it_resumes_as_often_as_need_be(server, tmp_path):
    path = tmp_path / "file.bin"
    server.cut_after = 4000
    for _ in range(2):
        with pytest.raises(ConnectionError, match="resumes"):
            download(server.url + "file.bin", path)
    download(server.url + "file.bin", path)
    assert path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=4000-", "bytes=8000-"]


def test_without_validators_the_size_decides(server, tmp_path):
    server.validators = False
    path = tmp_path / "file.bin"
    for new in (CONTENT, CONTENT[::-1] + b"longer"):
        server.cut_after = 1000
        with pytest.raises(ConnectionError, match="resumes"):
            download(server.url + "file.bin", path)
        server.files["file.bin"], server.cut_after = new, None
        download(server.url + "file.bin", path)
        assert path.read_bytes() == new
        path.unlink()
    assert ranges(server) == [None, "bytes=1000-", None, "bytes=1000-", None]


def test_a_server_without_ranges_starts_again(server, broken_off):
    server.ranges = False
    download(server.url + "file.bin", broken_off, SHA256)
    assert broken_off.read_bytes() == CONTENT


def test_a_file_changed_on_the_server_starts_again(server, broken_off):
    server.files["file.bin"] = CONTENT[::-1]
    download(server.url + "file.bin", broken_off)
    assert broken_off.read_bytes() == CONTENT[::-1]
    assert server.requests[-1]["If-Range"] == f'"{SHA256}"'


def test_a_server_that_ignores_if_range_is_found_out(server, broken_off):
    """It sends the rest of another file, of the same length, under another tag."""
    changed = CONTENT[::-1]
    server.files["file.bin"] = changed
    extent = {"ETag": '"other"', "Content-Range": f"bytes 1000-{len(changed) - 1}/{len(changed)}"}
    asked = iter([(206, changed[1000:], extent), (200, changed, {"ETag": '"other"'})])

    class Answers(dict):
        def __getitem__(self, key):
            return next(asked)

    server.answers = Answers({("GET", "/file.bin"): None})
    download(server.url + "file.bin", broken_off)
    assert broken_off.read_bytes() == changed
    assert ranges(server) == [None, "bytes=1000-", None]


def test_another_address_starts_again(server, broken_off):
    server.files["mirror.bin"] = CONTENT[::-1]
    download(server.url + "mirror.bin", broken_off)
    assert broken_off.read_bytes() == CONTENT[::-1]
    assert ranges(server)[-1] is None


@pytest.mark.parametrize("content", [CONTENT[:1000], CONTENT[:500]], ids=["shrunk to what is there", "shrunk further"])
def test_a_file_that_shrank_starts_again(server, broken_off, content):
    server.validators = False
    server.files["file.bin"] = content
    download(server.url + "file.bin", broken_off)
    assert broken_off.read_bytes() == content


def test_a_complete_part_needs_nothing_more(server, tmp_path):
    """The process was killed between the last byte and the renaming."""
    path = tmp_path / "file.bin"
    server.cut_after = len(CONTENT) - 1
    with pytest.raises(ConnectionError, match="resumes"):
        download(server.url + "file.bin", path)
    with (tmp_path / "file.bin.part").open("ab") as part:
        part.write(CONTENT[-1:])
    download(server.url + "file.bin", path, SHA256)
    assert ranges(server) == [None, f"bytes={len(CONTENT)}-"]


def test_a_server_that_does_not_tell_the_length(server, tmp_path):
    server.length = False
    assert download(server.url + "file.bin", tmp_path / "file.bin", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 3'])
def test_a_damaged_note_starts_again(server, broken_off, note):
    (broken_off.parent / "file.bin.part.json").write_text(note)
    download(server.url + "file.bin", broken_off, SHA256)
    assert ranges(server)[-1] is None


def test_a_wrong_checksum_deletes_what_arrived(server, tmp_path):
    path = tmp_path / "file.bin"
    with pytest.raises(ValueError, match=rf"file\.bin has sha256 {SHA256}, expected {'0' * 64}; .* deleted.*by hand"):
        download(server.url + "file.bin", path, "0" * 64)
    assert names(tmp_path) == []


def test_a_wrong_size_deletes_what_arrived(server, tmp_path):
    with pytest.raises(ValueError, match=r"has 10240 bytes, expected 7;"):
        download(server.url + "file.bin", tmp_path / "file.bin", size=7)
    assert names(tmp_path) == []


def test_a_wrong_file_that_is_there_survives_a_failure(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_text("mine")
    with pytest.raises(ConnectionError, match="answers 404"):
        download(server.url + "gone.bin", path, SHA256)
    assert path.read_text() == "mine"


def test_refusals_say_what_to_do(server, tmp_path):
    path = tmp_path / "gone.bin"
    with pytest.raises(ConnectionError, match=r"gone\.bin answers 404 Not Found. Or fetch .* put it at .*gone\.bin"):
        download(server.url + "gone.bin", path)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1/x cannot be reached"):
        download("http://127.0.0.1:1/x", path)


@pytest.mark.parametrize("variable", ["MOLSPECTRA_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(server, tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    path = tmp_path / "file.bin"
    with pytest.raises(ConnectionError, match=rf"is not there, .*sha256 {SHA256}\) and put it at {path}"):
        download(server.url + "file.bin", path, SHA256)
    path.write_bytes(b"else")
    with pytest.raises(ConnectionError, match="is not there as expected, "):
        download(server.url + "file.bin", path, SHA256)
    path.write_bytes(CONTENT)
    download(server.url + "file.bin", path, SHA256)
    assert server.requests == []
    source = tmp_path / "local.bin"
    source.write_bytes(CONTENT)
    assert download(source.as_uri(), tmp_path / "copy.bin", SHA256).read_bytes() == CONTENT
    monkeypatch.setenv(variable, "0")
    assert not _download.is_offline()


@pytest.mark.parametrize("url", ["ftp://example.org/x", "example.org/x", "data:,x"])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(ValueError, match="url must begin with one of https:, http:, file:; got"):
        download(url, tmp_path / "x")


def test_a_malformed_checksum_is_refused(tmp_path):
    with pytest.raises(ValueError, match="sha256 must be 64 hexadecimal digits; got 'abc'"):
        download("https://127.0.0.1/x", tmp_path / "x", "abc")


def test_a_full_disk_is_not_blamed_on_the_network(server, tmp_path, monkeypatch):
    def write(source, target, start, total):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resuming, "_copy", write)
    with pytest.raises(OSError, match="No space left") as error:
        download(server.url + "file.bin", tmp_path / "file.bin")
    assert not isinstance(error.value, ConnectionError)


def test_one_of_many_fetches(server, tmp_path):
    """Threads hold the lock as processes do: through descriptors of their own."""
    path, problems = tmp_path / "file.bin", []

    def fetch():
        try:
            download(server.url + "file.bin", path, SHA256)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(server.requests) == 1
    assert names(tmp_path) == ["file.bin"]


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_another_process_is_waited_for_until_it_dies(server, tmp_path):
    path = tmp_path / "file.bin"
    lock = tmp_path / "file.bin.part.lock"
    with subprocess.Popen([sys.executable, "-S", "-c", HOLD, lock], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        waiting = threading.Thread(target=download, args=(server.url + "file.bin", path, SHA256))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert server.requests == []
        process.kill()
    waiting.join(10)
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    download(server.url + "file.bin", tmp_path / "file.bin")
    assert "file.bin: 100%" in sys.stderr.getvalue()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert download(server.url + "file.bin", tmp_path / "other.bin").read_bytes() == CONTENT
