"""Every noise: reproducible from a generator, in both precisions, without a change of its input."""

import copy

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

import molspectra as ms

PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])
NOISES = {
    "coord": ms.noise.CoordNoise(0.1),
    "frad": ms.noise.FradNoise(),
    "frad, vibration": ms.noise.FradNoise(mode="vibration"),
    "slide": ms.noise.SliDeNoise(),
    "emgp": ms.noise.EMGPNoise(max_std=1.0, steps=2),
    "emgp, kabsch": ms.noise.EMGPNoise(max_std=1.0, mode="kabsch"),
    "emgp, gaussian": ms.noise.EMGPNoise(max_std=1.0, mode="gaussian"),
    "empp": ms.noise.EMPPMask(),
    "dens": ms.noise.DeNSNoise((0.01, 0.1), 1.0, 0.9, forces=None),
    "distance": ms.noise.DistanceNoise(),
    "distance, ordered": ms.noise.DistanceNoise(pairs="ordered"),
}
every_noise = pytest.mark.parametrize("name", NOISES)


@pytest.fixture(scope="module")
def molecules():
    return [PREPARE(molecule) for molecule in ms.data.MiniSpectra()[20:26]]


def tensors(data):
    return {key: value for key, value in data.to_dict().items() if isinstance(value, torch.Tensor)}


@every_noise
def test_the_same_generator_gives_the_same_noise_bit_for_bit(name, molecules, generator):
    batch = Batch.from_data_list(molecules)
    first, second = (tensors(NOISES[name](batch, generator())) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) or first[key].isnan().any() for key in first)
    other = NOISES[name](batch, generator(1))
    perturbed = "noisy_distance" if "noisy_distance" in first else "pos"
    assert not torch.equal(other[perturbed], first[perturbed])


@every_noise
def test_what_comes_in_is_left_as_it_is(name, molecules, generator):
    batch = Batch.from_data_list(molecules)
    before = copy.deepcopy(tensors(batch))
    NOISES[name](batch, generator())
    after = tensors(batch)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key].nan_to_num(), after[key].nan_to_num()) for key in before)


@every_noise
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_precision(name, dtype, molecules, generator):
    batch = Batch.from_data_list(molecules)
    batch.pos = batch.pos.to(dtype)
    noisy = NOISES[name](batch, generator())
    for key in (
        "pos",
        "noisy_distance",
        "score_target",
        "pos_target",
        "gradient_target",
        "force_target",
        "noise_scale",
        "masked_pos",
    ):
        if key in noisy:
            assert noisy[key].dtype == dtype, key
            assert noisy[key].isfinite().all(), key


@every_noise
def test_as_a_transform_of_a_data_loader(name, molecules):
    """Noise on single molecules, collated afterwards, has the fields and shapes of noise on a batch."""
    of_batch = NOISES[name](Batch.from_data_list(molecules))
    collated = next(iter(DataLoader([NOISES[name](molecule) for molecule in molecules], batch_size=len(molecules))))
    assert set(of_batch.keys()) <= set(collated.keys())
    for key, value in tensors(of_batch).items():
        assert collated[key].shape[1:] == value.shape[1:] or "index" in key, key
        if key not in ("bond_index", "bond_order"):  # EMPP: the number of remaining bonds depends on the atom drawn
            assert collated[key].shape == value.shape, key
