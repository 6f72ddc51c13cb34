"""The weights of the package: they load without a network, their cards hold, and they read spectra and molecules."""

import copy
import hashlib
import re

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.pretrained import checkpoint_info, list_checkpoints, load, recommended_reading

SHIPPED = [name for name in list_checkpoints() if checkpoint_info(name).status == "shipped"]
shipped = pytest.mark.parametrize("name", SHIPPED)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("MOLSPECTRA_OFFLINE", "1")


def test_available():
    available = list_checkpoints(available=True)
    assert available[:2] == ("coord-mini", "molspectra-mini")
    assert "3d-emgp" in available
    assert set(list_checkpoints(available=False)) == set(list_checkpoints()) - set(available)
    assert "molspectra" in list_checkpoints(available=False)


def test_they_are_small():
    files = [path for name in SHIPPED for path in checkpoint_info(name).path.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12e6


@shipped
def test_card(name):
    folder = checkpoint_info(name).path
    text = (folder / "README.md").read_text()
    facts = yaml.safe_load(text.split("---")[1])
    assert facts["license"] == "cc0-1.0"
    assert facts["library_name"] == "molspectra"
    for weights in folder.rglob("*.safetensors"):
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert f"`{weights.relative_to(folder)}`: `{digest}`" in text
    assert re.search(r"Caveats", text)
    assert re.search(r"python recipes/\w+\.py", text)


@shipped
def test_embed_reads_what_the_card_recommends(name):
    smiles = ["CCO", "c1ccccc1O"]
    reading = recommended_reading(getattr(load(name), "encoder", load(name)))
    assert reading == checkpoint_info(name).reading
    by_default = ms.embed(name, smiles)
    asked = ms.embed(name, smiles, pool=reading.pool, layers=reading.layers)
    assert by_default.shape == (2, asked[0].size)
    assert (by_default == asked.reshape(2, -1)).all()
    assert (ms.embed(load(name), smiles) == by_default).all()
    atoms = ms.embed(name, ["O"], pool=None)
    assert atoms[0].shape == (3, asked[0].size // 2)


def test_copies_wrappers_and_files_keep_the_reading_and_new_weights_have_none(tmp_path):
    encoder = load("coord-mini")
    reading = recommended_reading(encoder)
    assert recommended_reading(copy.deepcopy(encoder).to(torch.float64)) == reading
    assert recommended_reading(torch.optim.swa_utils.AveragedModel(encoder)) == reading
    ms.pretrained.save(encoder, tmp_path / "encoder")
    assert recommended_reading(load(tmp_path / "encoder")) == reading
    assert (ms.embed(tmp_path / "encoder", ["CCO"]) == ms.embed("coord-mini", ["CCO"])).all()
    chosen = ms.pretrained.Reading((0, -1), "max")
    ms.pretrained.save(ms.pretrained.recommend_reading(encoder, chosen), tmp_path / "chosen")
    assert ms.embed(tmp_path / "chosen", ["CCO"]).shape == (1, 2 * 128)
    assert recommended_reading(load(tmp_path / "chosen")) == chosen
    assert recommended_reading(type(encoder)(**encoder.config)) is None


def test_spectra_of_molecules_that_training_has_not_seen():
    encoder, specformer = load("molspectra-mini")
    molecules = Batch.from_data_list(list(ms.data.MiniSpectra("test")))
    with torch.no_grad():
        library = ms.methods.encode(encoder, molecules).pool(molecules.batch)
        spectra = {kind: molecules[kind] for kind in specformer.kinds}
        queries = specformer(spectra, axes={kind: ms.data.MiniSpectra.axes[kind] for kind in spectra}).embedding
    assert ms.retrieval.topk_accuracy(queries, library)[1] >= 0.9


def ridge_error(features, values):
    """Return the mean absolute error over five folds, the penalty chosen within each training fold."""
    regression = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 3, 4)))
    return np.abs(cross_val_predict(regression, features.astype(np.float64), values, cv=5) - values).mean()


@pytest.mark.slow
@shipped
def test_features_are_better_than_those_of_random_weights(name):
    molecules = [data for data in ms.data.XTBVibrations("test", axes=None) if data.qm9_alpha.isfinite().all()][:600]
    alpha = torch.cat([data.qm9_alpha for data in molecules]).double().numpy()
    encoder = getattr(load(name), "encoder", load(name))
    torch.manual_seed(0)
    new = ms.pretrained.recommend_reading(type(encoder)(**encoder.config), recommended_reading(encoder))
    trained, random = (ridge_error(ms.embed(model, molecules), alpha) for model in (encoder, new))
    assert trained < 0.85 * random
