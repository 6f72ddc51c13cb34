"""Sharing through the Hugging Face Hub: its own client against a stand-in for its server on the loopback interface."""

import base64
import importlib
import json
import logging
import sys

import huggingface_hub
import pytest
import torch
from torch import nn

import molspectra as ms
from molspectra.pretrained import hub, load
from molspectra.pretrained.hub_module import hub_module

REPOSITORY = "someone/encoder"
COMMIT = "0123456789012345678901234567890123456789"


class Mine(ms.Configurable, nn.Module):
    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)


@pytest.fixture
def hub_server(server, monkeypatch, tmp_path):
    """A Hub that takes files in commits and serves them."""
    pushed = {}

    def preupload(body):
        names = [file["path"] for file in json.loads(body)["files"]]
        files = [{"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None} for name in names]
        return answer({"files": files})

    def commit(body):
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                pushed[line["value"]["path"]] = content
                server.files[f"{REPOSITORY}/resolve/main/{line['value']['path']}"] = content
        return answer({"commitUrl": f"{server.url}{REPOSITORY}/commit/{COMMIT}", "commitOid": COMMIT})

    def answer(content):
        return 200, json.dumps(content).encode(), {"Content-Type": "application/json"}

    server.file_headers = {"X-Repo-Commit": COMMIT}
    server.answers = {
        ("POST", "/api/repos/create"): answer({"url": server.url + REPOSITORY, "id": REPOSITORY}),
        ("POST", "/api/validate-yaml"): answer({"errors": [], "warnings": []}),
        ("POST", f"/api/models/{REPOSITORY}/preupload/main"): preupload,
        ("POST", f"/api/models/{REPOSITORY}/commit/main"): commit,
    }
    endpoint = server.url.rstrip("/")
    constants, template = huggingface_hub.constants, endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    for module in (constants, importlib.import_module("huggingface_hub.file_download")):  # versions before 1 copy it
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    server.pushed = pushed
    return server


def encoder():
    return ms.encoders.EquivariantTransformer(16, num_layers=1, num_heads=2, num_rbf=8).eval()


def same(module, other):
    state = other.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_a_directory(tmp_path):
    module = encoder()
    hub.save_pretrained(module, tmp_path / "here", license="mit")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    for loaded in (hub.from_pretrained(tmp_path / "here"), load(tmp_path / "here")):
        assert type(loaded) is type(module)
        assert same(module, loaded)
        assert not loaded.training
    card = huggingface_hub.ModelCard.load(tmp_path / "here" / "README.md")
    assert (card.data.license, card.data.library_name) == ("mit", "molspectra")
    assert "EquivariantTransformer(" in card.text


def test_it_is_the_mixin_of_huggingface_hub():
    assert issubclass(hub_module(), huggingface_hub.ModelHubMixin)


def test_a_card_of_your_own_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    hub.save_pretrained(encoder(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_up_and_down(hub_server, tmp_path):
    module = encoder()
    commit = hub.push_to_hub(module, REPOSITORY, private=True, license="mit", token="hf_secret")
    assert commit.endswith(COMMIT)
    assert sorted(hub_server.pushed) == ["README.md", "config.json", "model.safetensors"]
    assert f'load("hf://{REPOSITORY}")' in hub_server.pushed["README.md"].decode()
    created = next(request for request in hub_server.requests if request["path"] == "/api/repos/create")
    asked = json.loads(created["body"])
    assert asked.get("visibility") == "private" or asked.get("private") is True  # the name differs between versions
    headers = {name.lower(): value for name, value in created.items()}
    assert headers["authorization"] == "Bearer hf_secret"
    for loaded in (load(f"hf://{REPOSITORY}"), hub.from_pretrained(REPOSITORY, token=False)):
        assert same(module, loaded)


def test_a_revision(hub_server):
    hub.push_to_hub(encoder(), REPOSITORY, token="hf_secret")
    for name in ("config.json", "model.safetensors"):
        hub_server.files[f"{REPOSITORY}/resolve/v1/{name}"] = hub_server.files.pop(f"{REPOSITORY}/resolve/main/{name}")
    assert load(f"hf://{REPOSITORY}@v1").out_channels == 16
    with pytest.raises((FileNotFoundError, OSError)):
        load(f"hf://{REPOSITORY}@v2")


def test_your_own_classes(hub_server):
    hub.push_to_hub(Mine(4), REPOSITORY, token="hf_secret")
    assert load(f"hf://{REPOSITORY}", classes=[Mine]).linear.in_features == 4
    with pytest.raises(ValueError, match=r"unknown class .*Mine"):
        load(f"hf://{REPOSITORY}")


def test_offline_the_cache_is_enough(hub_server, monkeypatch):
    module = encoder()
    hub.push_to_hub(module, REPOSITORY, token="hf_secret")
    load(f"hf://{REPOSITORY}")
    seen = len(hub_server.requests)
    monkeypatch.setenv("MOLSPECTRA_OFFLINE", "1")
    assert same(module, load(f"hf://{REPOSITORY}"))
    with pytest.raises(FileNotFoundError, match=r"someone/other does not hold .*not in the cache and cannot"):
        load("hf://someone/other")
    with pytest.raises(ConnectionError, match="someone/encoder cannot be written to, as MOLSPECTRA_OFFLINE"):
        hub.push_to_hub(module, REPOSITORY)
    assert len(hub_server.requests) == seen


def test_weights_that_are_missing_or_damaged(hub_server):
    hub.push_to_hub(encoder(), REPOSITORY, token="hf_secret")
    weights = f"{REPOSITORY}/resolve/main/model.safetensors"
    hub_server.files[weights] = hub_server.files[weights][:-10]
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        load(f"hf://{REPOSITORY}")
    del hub_server.files[weights]
    hub_server.answers["HEAD", "/" + weights] = (404, b"", {"X-Error-Code": "EntryNotFound"})
    with pytest.raises(FileNotFoundError, match=r"someone/encoder does not hold config\.json and model\.safetensors"):
        hub.from_pretrained(REPOSITORY, force_download=True)


def test_what_cannot_be_saved_is_not_pushed(hub_server):
    class Holder(ms.Configurable, nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

    with pytest.raises(TypeError, match=r"module\.inner is a Linear"):
        hub.push_to_hub(Holder(nn.Linear(2, 2)), REPOSITORY, token="hf_secret")
    assert hub_server.requests == []


def test_without_huggingface_hub(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    hub_module.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'molspectra\[hub\]'"):
        hub.from_pretrained(tmp_path)
    monkeypatch.undo()
    hub_module.cache_clear()
