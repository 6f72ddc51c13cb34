"""Published checkpoints by name: the facts about them, and fetching them from a server that misbehaves."""

import hashlib
import re
from dataclasses import replace

import pytest

import molspectra as ms
from molspectra.pretrained import ReferenceCheckpoint, checkpoint_info, list_checkpoints, load, load_reference, save
from molspectra.pretrained.card import cache_dir
from molspectra.pretrained.zoo import CHECKPOINTS


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOLSPECTRA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(reference):
    """A file in Coord's published layout."""
    return (reference / "lightning_ckpt" / "coord_tiny.class_keyed_callbacks.ckpt").read_bytes()


@pytest.fixture
def offered(server, cache, published, monkeypatch):
    """Offer it under the name of Coord's checkpoint, with its checksum or without."""
    server.files["coord.ckpt"] = published

    def offer(**known):
        entry = replace(CHECKPOINTS["coord-pcqm4mv2"], url=server.url + "coord.ckpt", **known)
        monkeypatch.setitem(CHECKPOINTS, "coord-pcqm4mv2", entry)

    offer(sha256=hashlib.sha256(published).hexdigest(), size=len(published))
    return offer


def test_the_table_is_complete():
    assert len(list_checkpoints()) == len(set(list_checkpoints())) >= 8
    methods = {checkpoint_info(name).method for name in list_checkpoints()}
    assert methods >= {"Coord", "Frad", "SliDe", "3D-EMGP", "MolSpectra", "EMPP"}
    for name in list_checkpoints():
        known = checkpoint_info(name)
        assert known.name == name
        assert re.fullmatch(r"[a-z0-9-]+", name)  # it is a file name as well
        texts = known.method, known.source, known.license, known.trained_on, known.format, known.citation
        assert all(texts)
        assert (known.url is not None) == (known.status == "fetched")
        assert known.source.startswith("recipes/" if known.status == "shipped" else "https://")
        assert known.url is None or known.url.startswith("https://")
        assert known.status in ("shipped", "fetched", "by hand") or known.note
        assert known.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", known.sha256)


def test_short_names():
    assert ms.pretrained.list is list_checkpoints
    assert ms.pretrained.info is checkpoint_info


def test_fetched_once(offered, server, cache):
    first = load("coord-pcqm4mv2")
    assert isinstance(first, ReferenceCheckpoint)
    assert first.encoder.out_channels == 16
    load("coord-pcqm4mv2")
    assert len(server.requests) == 1
    assert [path.name for path in cache.iterdir()] == ["coord-pcqm4mv2.ckpt"]


def test_round_trip(offered, tmp_path):
    encoder = load("coord-pcqm4mv2").encoder
    save(encoder, tmp_path / "mine")
    state = load(tmp_path / "mine").state_dict()
    assert all(bool((tensor == state[name]).all()) for name, tensor in encoder.state_dict().items())


def test_interrupted_then_resumed(offered, server):
    server.cut_after = 100_000
    with pytest.raises(ConnectionError, match="broke off after 100000 bytes .*run again: it resumes"):
        load("coord-pcqm4mv2")
    server.cut_after = None
    load("coord-pcqm4mv2")
    assert server.requests[-1]["Range"] == "bytes=100000-"


def test_a_corrupted_file_is_refused_and_not_kept(offered, server, published, cache):
    damaged = bytearray(published)
    damaged[5000] ^= 1
    server.files["coord.ckpt"] = bytes(damaged)
    with pytest.raises(ValueError, match=r"has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}; .*deleted"):
        load("coord-pcqm4mv2")
    assert [*cache.iterdir()] == []
    server.files["coord.ckpt"] = published
    load("coord-pcqm4mv2")


def test_without_a_checksum_the_reader_refuses(offered, server):
    server.files["coord.ckpt"] = b"<html>sign in</html>"
    offered(sha256=None, size=None)
    with pytest.raises(ValueError, match=r"coord-pcqm4mv2\.ckpt cannot be read as a PyTorch checkpoint"):
        load("coord-pcqm4mv2")


def test_offline(offered, server, cache, published, monkeypatch):
    monkeypatch.setenv("MOLSPECTRA_OFFLINE", "1")
    with pytest.raises(ConnectionError, match=rf"forbids to fetch it\. Or fetch .* put it at {cache}"):
        load("coord-pcqm4mv2")
    cache.mkdir()
    checkpoint_info("coord-pcqm4mv2").path.write_bytes(published)
    assert load("coord-pcqm4mv2").encoder.out_channels == 16
    assert server.requests == []


def test_by_hand(cache, published):
    with pytest.raises(
        FileNotFoundError, match=rf"get it at https://.*load_reference, or put it at {cache}.*frad-qm9\.ckpt"
    ):
        load("frad-qm9")
    cache.mkdir()
    checkpoint_info("frad-qm9").path.write_bytes(published)
    by_path = load_reference(checkpoint_info("frad-qm9").path)
    assert load("frad-qm9").encoder.out_channels == by_path.encoder.out_channels


def test_what_cannot_be_had_says_why(cache):
    with pytest.raises(FileNotFoundError, match=r"slide-qm9 cannot be fetched .*figshare.*About half of the torsions"):
        load("slide-qm9")
    with pytest.raises(ValueError, match=r"scd-pcqm4mv2 cannot be imported\. Its encoder .*huggingface"):
        load("scd-pcqm4mv2")
    with pytest.raises(FileNotFoundError, match=r"molspectra cannot be loaded\. Its authors published no weights"):
        load("molspectra")


@pytest.mark.parametrize(
    ("name", "hint"), [("coord-pcqm4m", "coord-pcqm4mv2"), ("3D-EMGP", "3d-emgp"), ("frad", "frad-"), ("?", None)]
)
def test_unknown_names_list_the_known_and_the_nearest(name, hint):
    for ask in (load, checkpoint_info):
        with pytest.raises(ValueError, match=r"must be one of coord-mini, .*3d-emgp") as error:
            ask(name)
        assert (f"Did you mean '{hint}" in str(error.value)) if hint else ("mean" not in str(error.value))


def test_a_saved_directory_comes_before_a_name(offered, tmp_path, monkeypatch):
    encoder = load("coord-pcqm4mv2").encoder
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coord-pcqm4mv2").mkdir()
    assert isinstance(load("coord-pcqm4mv2"), ReferenceCheckpoint)  # not one that `save` wrote
    save(encoder, "coord-pcqm4mv2")
    assert type(load("coord-pcqm4mv2")) is type(encoder)
    with pytest.raises(FileNotFoundError, match=r"runs/coord-pcqm4mv2 holds no model\.safetensors"):
        load("runs/coord-pcqm4mv2")


def test_where_the_cache_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("MOLSPECTRA_CACHE", raising=False)
    assert str(cache_dir()) == "/home/someone/.cache/molspectra"
    monkeypatch.setenv("MOLSPECTRA_CACHE", "~/weights")
    assert str(cache_dir()) == "/home/someone/weights"
