"""Coordinate noise: published numbers and statistics."""

import math

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
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
        assert displacement.mean(dim=0).abs().max() < 1e-7
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


def test_a_range_of_strengths(generator):
    molecules, atoms = 4000, 20
    batch = torch.arange(molecules).repeat_interleave(atoms)
    data = Batch(pos=torch.zeros(molecules * atoms, 3), batch=batch)
    noisy = CoordNoise((0.04, 0.4))(data, generator())
    scale = noisy.noise_scale
    assert scale.shape == (molecules,)
    assert 0.04 <= scale.min() < scale.max() <= 0.4
    # Uniform in the logarithm: means of log σ and of its square.
    position = (scale / 0.04).log() / math.log(10)
    assert abs(position.mean() - 1 / 2) < 5 * (1 / 12 / molecules) ** 0.5
    assert abs(position.square().mean() - 1 / 3) < 5 * (4 / 45 / molecules) ** 0.5
    # In units of its scale, the noise of every molecule is of unit variance.
    unit = noisy.pos_target / scale[batch, None]
    per_molecule = unit.view(molecules, -1).square().mean(dim=1)
    assert abs(per_molecule.mean() - 1) < 0.02
    assert abs(torch.corrcoef(torch.stack([per_molecule, scale]))[0, 1]) < 0.08
    single = CoordNoise((0.04, 0.4), remove_translation=True)(Data(pos=torch.zeros(5, 3)), generator())
    assert single.noise_scale.shape == (1,)
    torch.testing.assert_close(single.pos_target.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("std", [(0.4, 0.04), (0.0, 0.4), (0.1, math.inf), [0.1, 0.1]])
def test_ranges_that_do_not_ascend_are_refused(std):
    with pytest.raises(ValueError, match="std must ascend from above 0"):
        CoordNoise(std)


def test_a_range_is_saved(tmp_path):
    method = ms.methods.Coord(8, std=(0.04, 0.4))
    ms.pretrained.save(method, tmp_path / "coord")
    assert ms.pretrained.load(tmp_path / "coord").noise.std == (0.04, 0.4)


@pytest.mark.usefixtures("float32_weights")
def test_errors_are_in_units_of_the_noise(generator):
    task = ms.methods.Coord(8, std=(1e-3, 1.0))
    encoder = ms.encoders.EquivariantTransformer(8, num_layers=1, num_heads=2)
    batch = Batch.from_data_list([ms.data.MiniSpectra("train")[i] for i in range(16)])
    output = task.run(encoder, batch, generator(1))
    noisy = output.data
    predicted = task.head(output.atoms, noisy)
    scale = noisy.noise_scale[noisy.batch, None]
    target = noisy.pos_target / scale
    expected = (predicted / scale - target / target.square().mean().sqrt()).square().mean()
    torch.testing.assert_close(output.loss, expected, rtol=1e-4, atol=0)
