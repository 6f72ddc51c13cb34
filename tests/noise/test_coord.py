"""Coordinate noise: published numbers and statistics."""

import pytest
import torch
from torch_geometric.data import Data

from molspectra.geometry import remove_mean
from molspectra.noise import CoordNoise
from tests.conformers import random_batch


def test_published_transform(load_fixture, monkeypatch):
    coord, config = load_fixture("coord/coord.safetensors"), load_fixture("coord/config.json")
    names = [name for name in coord if name.startswith("transform.")]
    draws = next(coord[name] for name in names if "normal" in name or "eps" in name)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: draws)
    noisy = CoordNoise(config["noise_scale"])(Data(pos=coord["transform.pos"]))
    torch.testing.assert_close(noisy.pos, coord["transform.pos_noisy"], rtol=0, atol=1e-7)
    torch.testing.assert_close(noisy.pos_target, coord["transform.pos_target"], rtol=0, atol=1e-7)


def test_target_is_the_displacement_and_the_input_is_untouched():
    batch = random_batch(dtype=torch.float32)
    before = batch.pos.clone()
    noisy = CoordNoise(0.04)(batch)
    assert torch.equal(batch.pos, before)
    assert "pos_target" not in batch
    torch.testing.assert_close(noisy.pos - before, noisy.pos_target)
    assert torch.equal(noisy.z, batch.z)
    assert noisy.num_graphs == 3


def test_statistics(generator):
    noise = CoordNoise(0.04)(Data(pos=torch.zeros(100_000, 3)), generator()).pos_target
    assert noise.mean(dim=0).abs().max() < 5 * 0.04 / 100_000**0.5
    covariance = noise.T @ noise / len(noise)
    torch.testing.assert_close(covariance, 0.04**2 * torch.eye(3), atol=0.04**2 * 0.02, rtol=0)


def test_without_translation_each_molecule_keeps_its_place():
    batch = random_batch(dtype=torch.float32)
    noisy = CoordNoise(0.04, remove_translation=True)(batch)
    torch.testing.assert_close(remove_mean(noisy.pos_target, batch.batch), noisy.pos_target)
    for molecule in range(3):
        displacement = noisy.pos_target[batch.batch == molecule]
        torch.testing.assert_close(displacement.mean(dim=0), torch.zeros(3), atol=1e-7, rtol=0)
    assert (noisy.pos_target[batch.batch == 1] == 0).all()  # a lone atom can only be translated
    single = CoordNoise(0.04, remove_translation=True)(Data(pos=torch.randn(4, 3)))
    torch.testing.assert_close(single.pos_target.mean(dim=0), torch.zeros(3), atol=1e-7, rtol=0)


@pytest.mark.parametrize("remove_translation", [True, False])
def test_same_generator_same_noise(remove_translation, generator):
    batch, noise = random_batch(dtype=torch.float32), CoordNoise(0.04, remove_translation)
    first, second = (noise(batch, generator(3)).pos for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, noise(batch, generator(4)).pos)


def test_negative_std_is_refused():
    with pytest.raises(ValueError, match="std must not be negative"):
        CoordNoise(-0.1)
