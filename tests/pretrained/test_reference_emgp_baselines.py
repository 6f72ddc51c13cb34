"""Import of the baselines of 3D-EMGP: numbers of the released encoder, heads as extras, and nothing silent."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from molspectra.pretrained import checkpoint_info, list_checkpoints, load_reference

HEADS = {
    "attrmask": {"type_predictor"},
    "edgepred": {"projector"},
    "gcc": {"graph_dec"},
    "gpt": {"node_dec", "type_predictor"},
    "graphcl": {"graph_dec"},
    "infograph": {"node_dec", "graph_dec"},
    "joao": {"graph_dec"},
    "joaov2": {"graph_dec_proj"},
    "pospred": set(),
}


@pytest.fixture(params=HEADS)
def checkpoint(request, reference, tmp_path) -> tuple[str, Path]:
    """Return name and file of a baseline: all nine where MOLSPECTRA_CORPUS has them, otherwise the one in a clone."""
    if corpus := os.environ.get("MOLSPECTRA_CORPUS"):
        path = tmp_path / "file"
        shutil.copyfile(Path(corpus) / "emgp_baselines" / f"checkpoint-{request.param}", path)
        return request.param, path
    path = reference / "emgp_baselines" / f"checkpoint-{request.param}.safetensors"
    if not path.exists():
        pytest.skip("the published file (3.5 MB) is not part of the repository")
    return request.param, path


def test_numbers_of_the_released_encoder(checkpoint, load_fixture):
    name, path = checkpoint
    encoder = load_reference(path).encoder.double()
    inputs = load_fixture("emgp/inputs.safetensors")
    expected = load_fixture("emgp_baselines/encoder_outputs.safetensors")
    atoms, moved = encoder.move(inputs["z"], inputs["pos"].double(), inputs["batch"], bond_index=inputs["bond_index"])
    # The reference was computed in float64 and stored in float32.
    for found, key in ((atoms.scalars, "node_rep_encoder"), (moved, "pos_last")):
        reference = expected[f"{name}.{key}"].double()
        assert (found - reference).abs().max() < 1e-7 * reference.abs().max()


def test_parts(checkpoint):
    name, path = checkpoint
    loaded = load_reference(path)
    assert sum(parameter.numel() for parameter in loaded.encoder.parameters()) == 852_103
    assert {key.split(".")[1] for key in loaded.extras} == HEADS[name]
    assert loaded.energy_head is loaded.noise_scale_head is loaded.noise_scales is None
    assert not any(module.training for module in loaded.encoder.modules())


@pytest.fixture
def tensors(reference):
    return load_file(reference / "emgp_baselines" / "checkpoint-pospred.safetensors")


@pytest.mark.parametrize("head", sorted(set.union(*HEADS.values())))
def test_heads_are_extras(tensors, tmp_path, head):
    added = {f"module.{head}.0.weight": torch.randn(128, 128), f"module.{head}.0.bias": torch.randn(128)}
    save_file(tensors | added, tmp_path / "file.safetensors")
    extras = load_reference(tmp_path / "file.safetensors").extras
    assert set(extras) == set(added)
    assert all(torch.equal(extras[name], added[name]) for name in added)


@pytest.mark.parametrize(
    ("dropped", "added", "match"),
    [
        ("module.model.gcl_3.att_mlp.0.bias", None, r"missing: layers\.3\.attention\.0\.bias"),
        (None, "module.other_head.weight", r"unexpected: module\.other_head\.weight"),
        (None, "module.noise_pred.2.bias", r"missing: module\.sigmas"),
        ("module.model.embedding_in.weight", None, r"missing: module\.model\.embedding_in\.weight"),
    ],
)
def test_misfits_are_refused(tensors, tmp_path, dropped, added, match):
    tensors.pop(dropped, None)
    if added:
        tensors[added] = torch.zeros(50)
    save_file(tensors, tmp_path / "file.safetensors")
    with pytest.raises(ValueError, match=match):
        load_reference(tmp_path / "file.safetensors")


def test_the_table_names_all_nine():
    names = [name for name in list_checkpoints() if name.startswith("emgp-")]
    assert sorted(names) == sorted(f"emgp-{name}" for name in HEADS)
    for name in names:
        known = checkpoint_info(name)
        assert known.url.endswith(f"/checkpoint-{name.removeprefix('emgp-')}")
        assert "HEAD" not in known.url
        assert known.size > 3_000_000
