"""Saving and loading the library's own modules."""

import json

import pytest
import torch
from torch import nn
from torch_geometric.nn.models import SchNet

import molspectra as ms
from molspectra.pretrained import load, load_strictly, save

SPECFORMER = {
    "lengths": {"ir": 60, "uv_vis": 40},
    "patch_len": {"ir": 10, "uv_vis": 8},
    "stride": 5,
    "hidden_channels": 8,
    "num_heads": 2,
    "out_channels": 16,
}


def encoder(**arguments):
    return ms.encoders.EquivariantTransformer(16, num_layers=2, num_heads=4, num_rbf=8, **arguments)


def method():
    specformer = ms.spectra.SpecFormer(**SPECFORMER, scaling=ms.data.LogScaling())
    contrast = ms.objectives.InfoNCELoss(0.2, learnable_temperature=True)
    return ms.methods.MolSpectra(ms.methods.Coord(16, std=0.1), specformer, contrast=contrast, mask_ratio=0.3)


MODULES = {
    "encoder": lambda: encoder(vector_norm="whitened", max_z=118),
    "specformer": lambda: ms.spectra.SpecFormer(**SPECFORMER),
    "vector head": lambda: ms.heads.VectorHead(8, as_released=True),
    "scalar head": lambda: ms.heads.ScalarHead(8, mean=1.5, reduce="mean"),
    "projection": lambda: ms.layers.ProjectionMLP(8, 4),
    "normalizer": lambda: ms.objectives.TargetNormalizer(as_released=True),
    "method of methods": method,
    "nothing to be built with": ms.objectives.NoiseScaleLoss,
    "3D-EMGP": lambda: ms.methods.EMGP(16),
    "EMPP": lambda: ms.methods.EMPP(16),
    "DeNS": lambda: ms.methods.DeNS(16, (0.01, 0.1), l_max=2, label_std=3.0, prediction="vector"),
    "SCD": lambda: ms.methods.SCD(16, as_released=True),
    "SE(3)-DDM": lambda: ms.methods.SE3DDM(16, pairs="ordered", ratio=0.5),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_round_trip(make, tmp_path):
    module = make()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(torch.ones_like(tensor))
    save(module, tmp_path / "deep" / "down")
    loaded = load(tmp_path / "deep" / "down")
    assert type(loaded) is type(module)
    assert repr(loaded) == repr(module)
    assert not loaded.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
        assert loaded.state_dict()[name].dtype == tensor.dtype, name


def test_a_loaded_encoder_gives_the_same_features(tmp_path):
    module = encoder().eval()
    save(module, tmp_path)
    z, pos = torch.tensor([6, 8, 1]), torch.randn(3, 3)
    assert torch.equal(load(tmp_path)(z, pos).scalars, module(z, pos).scalars)


def test_config_json_is_readable(tmp_path):
    save(encoder(), tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    assert described["class"] == "molspectra.encoders.EquivariantTransformer"
    assert described["arguments"]["cutoff"] == 5.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_misfits_are_all_listed_and_nothing_is_loaded():
    module = encoder()
    state = module.state_dict()
    before = {name: tensor.clone() for name, tensor in state.items()}
    wrong = {name: tensor + 1 for name, tensor in state.items()}
    wrong["stranger.weight"] = torch.zeros(2)
    wrong["out_norm.bias"] = torch.zeros(17)
    del wrong["layers.1.q_proj.bias"]
    with pytest.raises(ValueError, match=r"do not fit EquivariantTransformer \(3 keys\)") as error:
        load_strictly(module, wrong, "somewhere")
    assert "missing: layers.1.q_proj.bias (16,)" in str(error.value)
    assert "unexpected: stranger.weight (2,)" in str(error.value)
    assert "mis-shaped: out_norm.bias is (17,), expected (16,)" in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class Mine(ms.Configurable, nn.Module):
    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)


class MineAround(ms.Configurable, nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner


def test_your_own_classes(tmp_path):
    save(MineAround(Mine(size=4)), tmp_path)
    assert load(tmp_path, classes=[Mine, MineAround]).inner.linear.in_features == 4
    with pytest.raises(ValueError, match=r"unknown class .*Mine.*classes=\[it\]"):
        load(tmp_path, classes=[MineAround])


class OnlyForward(ms.heads.VectorHead):
    def forward(self, atoms):
        return -super().forward(atoms)


def test_a_subclass_without_a_constructor(tmp_path):
    module = OnlyForward(8, as_released=True)
    save(module, tmp_path)
    config = load(tmp_path, classes=[OnlyForward]).config
    assert config == {"channels": 8, "as_released": True, "vector_norm": None}


class Inheriting(ms._config.Configurable, SchNet):
    """Someone else's model, as it is."""


def test_a_model_of_others_that_holds_a_tensor_twice(tmp_path):
    """Its constructor is recorded though it is inherited; a SchNet holds its filters under two names."""
    module = Inheriting(hidden_channels=8, num_interactions=1, num_filters=8)
    save(module, tmp_path)
    loaded = load(tmp_path, classes=[Inheriting])
    assert loaded.embedding.embedding_dim == 8
    assert torch.equal(loaded.interactions[0].conv.nn[0].weight, module.interactions[0].mlp[0].weight)


def test_a_part_put_in_place_of_another_is_saved_as_it_is(tmp_path):
    module = method()
    module.task = ms.methods.Coord(16, std=0.3)
    save(module, tmp_path)
    assert load(tmp_path).task.noise.std == 0.3


def replace_noise(module):
    module.task.noise = ms.noise.CoordNoise(0.3)


def replace_head(module):
    module.task.head = ms.heads.VectorHead(16, as_released=True)


def replace_size(module):
    module.task.head.blocks[1] = nn.Linear(3, 4)


@pytest.mark.parametrize(
    ("replace", "named"),
    [
        (replace_noise, "task.noise"),
        (replace_head, "task.head"),
        (replace_size, "it"),
        (lambda module: setattr(module.task.noise, "std", 0.3), "task.noise"),
        (lambda module: setattr(module.contrast, "symmetric", False), "contrast"),
    ],
)
def test_a_replaced_part_that_the_arguments_do_not_tell_of_is_refused(replace, named, tmp_path):
    """It would come back silently as the one that was there before."""
    module = method()
    replace(module)
    before = torch.random.get_rng_state()
    with pytest.raises(
        ValueError, match=f"MolSpectra cannot be rebuilt from its arguments, as {named} has been changed"
    ):
        save(module, tmp_path)
    assert not any(tmp_path.iterdir())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_double_precision_comes_back_as_it_was(tmp_path):
    module = encoder().double()
    with torch.no_grad():
        next(module.parameters()).add_(1e-12)
    save(module, tmp_path)
    for actual, expected in zip(load(tmp_path).parameters(), module.parameters(), strict=True):
        assert torch.equal(actual, expected)


def test_what_cannot_be_written_is_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match="module is a Linear, which cannot be written"):
        save(nn.Linear(2, 2), tmp_path)
    with pytest.raises(TypeError, match=r"module\.inner is a Linear"):
        save(MineAround(nn.Linear(2, 2)), tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["os.system", "molspectra.pretrained.save", "molspectra.nothing.Here", "builtins.eval"]
)
def test_a_config_cannot_name_anything_but_modules(tmp_path, name):
    save(encoder(), tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**described, "class": name}))
    with pytest.raises(ValueError, match="unknown class"):
        load(tmp_path)


def test_missing_files_and_newer_formats(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        load(tmp_path)
    save(encoder(), tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(ValueError, match="has format 99"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", r"config\.json is damaged or no JSON"),
        ("[1, 2]", r"config\.json has no format"),
        ('{"class": "molspectra.heads.VectorHead"}', r"config\.json has no format"),
        ('{"format": 1, "class": "molspectra.heads.VectorHead"}', r"config\.json does not describe .*arguments"),
        (
            '{"format": 1, "class": "molspectra.heads.VectorHead", "arguments": {"channels": 8, "width": 8}}',
            r"config\.json does not describe .*width",
        ),
        ('{"format": 1, "class": 3, "arguments": {}}', r"config\.json does not describe"),
        ('{"format": 1, "other": 2}', r"config\.json describes a dict; expected a module"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, content, message):
    save(encoder(), tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("damage", [lambda content: content[:-7], lambda content: b"", lambda content: b"x" * 99])
def test_damaged_weights_are_named(tmp_path, damage):
    save(encoder(), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged or no safetensors file"):
        load(tmp_path)


def test_weights_of_another_architecture_are_refused_with_a_list(tmp_path):
    save(encoder(), tmp_path / "one")
    save(encoder(norm_every_layer=True), tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").rename(tmp_path / "one" / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"(?s)one do not fit EquivariantTransformer \(\d+ keys.*unexpected: scalar_norms"
    ):
        load(tmp_path / "one")


def test_a_file_is_no_directory(tmp_path):
    path = tmp_path / "published.ckpt"
    path.write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"published\.ckpt is a file; .*load_reference"):
        load(str(path))


def test_config_records_every_argument():
    assert encoder(max_z=20).config["max_z"] == 20
    assert encoder().config["as_released"] is False
    assert list(Mine().config) == ["size"]
