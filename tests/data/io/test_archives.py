"""Damage that a format's own reader does not see."""

import gzip
import io
import tarfile

import pytest
import torch
from torch_geometric.data import Data

from molspectra.data.io.archives import tar_files
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


def test_a_pickle_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "some.pt"
    torch.save([Data(pos=torch.full((4, 3), 1.25))], path)
    assert read_pickled(path)[0].pos[0, 0] == 1.25
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor(1.25).numpy().tobytes()) + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="some.pt is damaged: the checksum of"):
        read_pickled(path)
