"""Constructor values of NumPy and PyTorch: accepted and saved, or refused when they are given."""

import decimal
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import molspectra as ms
from molspectra.pretrained import load, save

INTEGERS = {
    "int64": np.int64(16),
    "int32": np.int32(16),
    "uint8": np.uint8(16),
    "array": np.array(16),
    "tensor": torch.tensor(16),
}
NUMBERS = {
    "float64": np.float64(0.25),
    "float32": np.float32(0.25),
    "float16": np.float16(0.25),
    "array": np.array(0.25),
    "tensor": torch.tensor([0.0, 0.5]).mean(),
    "gradient": torch.tensor(0.25, requires_grad=True),
    "bfloat16": torch.tensor(0.25, dtype=torch.bfloat16),
    "decimal": decimal.Decimal("0.25"),
}


@pytest.mark.parametrize("kind", INTEGERS)
def test_sizes(kind, tmp_path):
    encoder = ms.encoders.PaiNN(INTEGERS[kind], num_layers=np.int64(1), num_rbf=8)
    assert type(encoder.config["hidden_channels"]) is int
    save(encoder, tmp_path)
    assert load(tmp_path).out_channels == 16


@pytest.mark.parametrize("kind", NUMBERS)
def test_scales(kind, tmp_path):
    method = ms.methods.Coord(channels=np.int64(8), std=NUMBERS[kind])
    assert method.noise.std == 0.25
    assert type(method.noise.std) is float
    save(method, tmp_path)
    assert load(tmp_path).noise.std == 0.25


def test_switches_names_and_containers(tmp_path):
    specformer = ms.spectra.SpecFormer(
        {np.str_("ir"): np.int64(40), "raman": torch.tensor(60)},
        patch_len={"ir": np.int32(10), "raman": 20},
        stride=np.int64(10),
        hidden_channels=np.int16(8),
        num_layers=1,
        num_heads=2,
        scaling={
            "ir": ms.data.StandardScaling(mean=np.float32(0.5), std=torch.tensor(2.0)),
            "raman": ms.data.LogScaling(),
        },
    )
    save(specformer, tmp_path)
    again = load(tmp_path)
    assert list(again.kinds) == ["ir", "raman"]
    assert json.loads((tmp_path / "config.json").read_text())["arguments"]["lengths"] == {"ir": 40, "raman": 60}
    encoder = ms.encoders.EquivariantTransformer(8, 1, 2, 8, as_released=np.bool_(False))
    assert encoder.config["as_released"] is False


def keys_of(values):
    return dict.fromkeys(values).keys()


def numbers_of_numpy(values):
    return list(np.array(values))


@pytest.mark.parametrize("make", [np.array, torch.tensor, tuple, keys_of, numbers_of_numpy])
def test_sequences(make, tmp_path):
    elements, energies = [1, 6, 8], [-0.5, -37.75, -75.0]
    save(ms.heads.AtomicReferenceEnergies(make(elements), make(energies)), tmp_path)
    assert load(tmp_path).config == {"elements": elements, "energies": energies}


class Mine(ms.Configurable, nn.Module):
    """A module of a user, which takes a tensor."""

    def __init__(self, weight, scale=1.0):
        super().__init__()
        self.register_buffer("weight", weight)
        self.scale = scale


def test_classes_of_users_receive_tensors(tmp_path):
    weight = torch.arange(3.0)
    module = Mine(weight, np.float32(2))
    assert module.weight is weight
    assert type(module.scale) is float
    with pytest.raises(TypeError, match=r"module\.weight is a Tensor, which cannot be written"):
        save(module, tmp_path)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("value", [1 + 2j, np.complex64(1), {1, 2}, b"0.1"])
def test_values_that_cannot_be_saved_are_refused_at_once(value):
    with pytest.raises(TypeError, match="std of CoordNoise must be a number, .* which can be saved; got a"):
        ms.noise.CoordNoise(value)
    with pytest.raises(TypeError, match=r"lengths\['ir'\] of SpecFormer must be"):
        ms.spectra.SpecFormer({"ir": value}, patch_len=10, stride=5)


def test_paths_become_text():
    from molspectra._plain import as_plain

    assert as_plain([Path("a") / "b", {"x": (np.int8(1), None)}]) == ["a/b", {"x": (1, None)}]
    assert as_plain(torch.ones(2), arrays=True) == [1.0, 1.0]
    parameter = nn.Parameter(torch.ones(()))
    assert as_plain(parameter) is parameter
