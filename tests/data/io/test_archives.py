"""Damage that a format's own reader does not see."""

import gzip
import io
import tarfile
import zipfile

import pytest
import torch
from torch_geometric.data import Data

from molspectra.data.io.archives import ZipArchive, refuse_damage, tar_files, unpack
from molspectra.data.io.pickled import read_pickled


def tar_gz(path, level=0):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a.txt", "b.txt"):
            content = f"{name} has 1.25 in it\n".encode() * 100
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), level))


def contents(path):
    return {name: "".join(lines) for name, lines in tar_files(path, ".txt")}


def test_a_tar_is_read(tmp_path):
    tar_gz(tmp_path / "some.tar.gz", 9)
    assert {name: text.count("1.25") for name, text in contents(tmp_path / "some.tar.gz").items()} == {
        "a.txt": 100,
        "b.txt": 100,
    }


@pytest.mark.parametrize("damage", ["a digit", "the checksum", "the end"])
def test_a_damaged_gzip_is_refused(tmp_path, damage):
    path = tmp_path / "some.tar.gz"
    tar_gz(path)
    content = bytearray(path.read_bytes())
    if damage == "a digit":
        content[content.index(b"1.25")] = ord("7")
    elif damage == "the checksum":
        content[-6] ^= 1
    else:
        content = content[:-8]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some.tar.gz is damaged or truncated"):
        contents(path)


@pytest.fixture(params=["some.zip", "some.tar", "some.tar.gz", "some.tar.bz2"])
def archive(request, tmp_path):
    """Two files below a folder, and one whose name points out of it."""
    path = tmp_path / request.param
    contents = {"top/a.txt": "first", "top/b.txt": "second", "../../b.txt": "outside"}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as opened:
            for name, text in contents.items():
                opened.writestr(name, text)
    else:
        with tarfile.open(path, "w:" + path.suffix.removeprefix(".").replace("tar", "")) as opened:
            for name, text in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                opened.addfile(member, io.BytesIO(text.encode()))
    return path


def test_some_files_are_extracted(archive, tmp_path):
    folder = tmp_path / "a" / "folder"
    unpack(archive, folder, ["b.txt", "top/a.txt"])
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.txt")} == {"a/folder/b.txt", "a/folder/top/a.txt"}
    assert [(folder / name).read_text() for name in ("top/a.txt", "b.txt")] == ["first", "second"]
    with pytest.raises(ValueError, match=r"has no c\.txt, but \['../../b\.txt', 'top/a\.txt', 'top/b\.txt'\]"):
        unpack(archive, folder, ["c.txt", "b.txt"], delete=True)
    assert archive.exists()
    unpack(archive, folder, ["b.txt"], delete=True)
    assert not archive.exists()


def test_a_damaged_zip_is_refused(tmp_path):
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a.txt", "the value is 1.25")
        opened.writestr("__MACOSX/a.txt", "fork")
    content = path.read_bytes()
    with ZipArchive(path) as opened:
        assert opened.names == ("a.txt",)
        assert opened.lines("a.txt") == ["the value is 1.25"]
    path.write_bytes(content.replace(b"1.25", b"7.25"))
    with ZipArchive(path) as opened, pytest.raises(ValueError, match=r"some.zip is damaged or truncated: Bad CRC"):
        opened.lines("a.txt")
    path.write_bytes(content[:-30])
    with pytest.raises(ValueError, match=r"some.zip is damaged or truncated"):
        ZipArchive(path)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileNotFoundError(2, "No such file")])
def test_errors_of_the_system_are_no_damage(error):
    with pytest.raises(type(error)) as caught, refuse_damage("some.zip"):
        raise error
    assert caught.value is error


def test_a_pickle_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "some.pt"
    torch.save([Data(pos=torch.full((4, 3), 1.25))], path)
    assert read_pickled(path)[0].pos[0, 0] == 1.25
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor(1.25).numpy().tobytes()) + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="some.pt is damaged: the checksum of"):
        read_pickled(path)
