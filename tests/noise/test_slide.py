"""SliDe's noise, energy and targets: published numbers, exactness, and agreement of energy and density."""

import math

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.geometry import internal_coordinates, wrap_angle
from molspectra.noise import SliDeNoise
from molspectra.noise.slicing import finite_difference_slices, least_squares_gradient
from molspectra.objectives import DenoisingLoss, TargetNormalizer
from tests.conformers import GENERIC, IDS, TOPOLOGY, prepared_molecule


def published(conformers, name, clean):
    """A molecule with the published constants, on all terms or on the clean ones."""
    data = Data(z=conformers("frad/molecules", name, "z"), pos=conformers("frad/molecules", name, "pos"))
    data.bond_index, data.angle_index, data.torsion_index = conformers.terms(name, clean)
    masks = {"bond": ..., "angle": ..., "torsion": ~conformers("slide/internal", name, "torsion_degenerate")}
    if clean:
        masks |= {kind: conformers("slide/energy", name, f"clean_{kind}") for kind in ("angle", "torsion")}
    else:
        data.torsion_index = data.torsion_index[:, masks["torsion"]]
    for kind, mask in masks.items():
        data[f"{kind}_k"] = conformers("slide/params_openff200", name, f"{kind}_sigma")[mask] ** -2
    return data


@pytest.mark.parametrize("clean", [True, False], ids=["clean", "all"])
@pytest.mark.parametrize("geometry", ["bat", "rad", "cart"])
def test_published_energies_and_gradients(conformers, clean, geometry):
    noise, kind = SliDeNoise(), "clean" if clean else "all"
    molecules = [published(conformers, name, clean) for name in IDS]
    positions = [conformers("slide/energy", name, f"{geometry}.pos") for name in IDS]
    batch, pos = Batch.from_data_list(molecules), torch.cat(positions)
    parts = [conformers("slide/energy", name, f"{geometry}.{kind}.energy") for name in IDS]
    torch.testing.assert_close(noise.energy(batch, pos), torch.stack(parts).sum(1), rtol=1e-12, atol=1e-12)
    gradients = [conformers("slide/energy", name, f"{geometry}.{kind}.grad") for name in IDS]
    torch.testing.assert_close(noise.gradient(batch, pos), torch.cat(gradients), rtol=1e-10, atol=1e-9)
    # Molecules one by one, and each of the three sums alone.
    for data, alone, part in zip(molecules[:10], positions, parts, strict=False):
        for number, term in enumerate(("bond_k", "angle_k", "torsion_k")):
            only = data.clone()
            for other in {"bond_k", "angle_k", "torsion_k"} - {term}:
                only[other] = torch.zeros_like(only[other])
            torch.testing.assert_close(noise.energy(only, alone), part[number].unsqueeze(0), rtol=1e-12, atol=1e-12)


def test_gradient_against_autograd_and_central_differences():
    data = prepared_molecule("CC(=O)NCC1CC1")
    noise = SliDeNoise()
    pos = (data.pos + 0.05 * torch.randn(data.pos.shape, dtype=torch.float64)).requires_grad_()
    gradient = noise.gradient(data, pos.detach())
    torch.testing.assert_close(
        gradient, torch.autograd.grad(noise.energy(data, pos).sum(), pos)[0], rtol=1e-12, atol=1e-10
    )
    steps = 1e-5 * torch.eye(pos.numel(), dtype=torch.float64).view(-1, *pos.shape)
    with torch.no_grad():
        differences = [noise.energy(data, pos + step) - noise.energy(data, pos - step) for step in steps]
    central = torch.cat(differences).view_as(pos) / 2e-5
    torch.testing.assert_close(gradient, central, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(gradient.sum(0), torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)
    torque = torch.linalg.cross(pos.detach(), gradient).sum(0)
    torch.testing.assert_close(torque, torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_minus_the_gradient_is_the_score_of_the_noise(generator):
    """Hydrogen peroxide has no redundant term: 3 bonds, 2 angles and 1 torsion for 3N - 6 = 6 degrees of freedom."""
    data = prepared_molecule("OO")
    data.bond_k, data.angle_k, data.torsion_k = (
        torch.tensor(k).double() for k in ([900.0, 1000, 800], [80.0, 120], [5.0])
    )
    noise = SliDeNoise(thermal_energy=0.8)
    constants = torch.cat([data.bond_k, data.angle_k, data.torsion_k])
    equilibrium = torch.cat(internal_coordinates(data.pos, data.bond_index, data.angle_index, data.torsion_index))

    def displacements(pos):
        return (
            torch.cat(internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index), dim=-1)
            - equilibrium
        )

    noisy = noise(Batch.from_data_list([data] * 20_000), generator())
    samples = displacements(noisy.pos.view(20_000, -1, 3))
    samples[:, -1] = wrap_angle(samples[:, -1])
    covariance = samples.T @ samples / len(samples)
    scale = (0.8 / constants).sqrt()
    assert (covariance / (scale[:, None] * scale) - torch.eye(6)).abs().max() < 5 * math.sqrt(2 / 20_000)
    # The logarithm of the density of these samples, and its gradient by positions.
    pos = noisy.pos[: len(data.z)].requires_grad_()
    log_density = torch.distributions.Normal(torch.zeros(6).double(), scale).log_prob(displacements(pos)).sum()
    (score,) = torch.autograd.grad(log_density, pos)
    torch.testing.assert_close(-noisy.gradient_target[: len(data.z)] / 0.8, score, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("name", IDS)
def test_published_slices_and_least_squares(conformers, name):
    pos, slices = conformers("slide/bat_noise", name, "pos_bat"), conformers("slide/sliced", name, "v").double()
    batch = torch.zeros(len(pos), dtype=torch.int64)
    noise = SliDeNoise()
    for kind, clean in (("clean", True), ("kept", False)):
        data = published(conformers, name, clean)
        gradient = noise.gradient(data, pos)
        torch.testing.assert_close(gradient, conformers("slide/sliced", name, f"{kind}.grad"), rtol=1e-9, atol=1e-9)
        jvp = (gradient * slices).sum((1, 2))
        torch.testing.assert_close(jvp, conformers("slide/sliced", name, f"{kind}.jvp"), rtol=1e-9, atol=1e-9)
        gradients = noise._term_gradients(data, pos)
        along = finite_difference_slices(pos, noise._terms(data), gradients, slices, batch)
        torch.testing.assert_close(along[:, 0], conformers("slide/sliced", name, f"{kind}.fd"), rtol=1e-9, atol=1e-11)
        solved = least_squares_gradient(along / 0.001, slices, batch)
        torch.testing.assert_close(solved, conformers("slide/sliced", name, f"{kind}.lstsq"), rtol=1e-7, atol=1e-6)

        output = conformers("slide/sliced", name, "model_out")
        predicted = (output * slices).sum((1, 2))
        for slice_values, loss in ((along[:, 0] / 0.001, "loss_fd"), (jvp, "loss_jvp")):
            expected = conformers("slide/sliced", name, f"{kind}.{loss}")
            torch.testing.assert_close((predicted - slice_values).square().mean(), expected, rtol=1e-9, atol=0)
        full = conformers("slide/sliced", name, f"{kind}.loss_full")
        torch.testing.assert_close((output - gradient).square().sum(), full, rtol=1e-9, atol=0)
    published_slices = conformers("slide/sliced", name, "reg_ref")
    torch.testing.assert_close(
        along[:, 0], published_slices, rtol=1e-3, atol=1e-3 * float(published_slices.abs().max())
    )
    scalar = (published_slices - published_slices.mean()) / published_slices.std(correction=0)
    loss = (predicted - scalar).square().mean()
    torch.testing.assert_close(loss, conformers("slide/sliced", name, "reg_loss_ref"), rtol=1e-5, atol=0)


def test_published_targets_normalisers_and_losses(conformers):
    normalizer, objective = TargetNormalizer(as_released=True), DenoisingLoss(as_released=True)
    for name in IDS:
        slices, along = (conformers("slide/sliced", name, key).double() for key in ("v", "reg_ref"))
        target = conformers("slide/sliced", name, "ff_learn_ref")
        solved = least_squares_gradient(along.unsqueeze(1), slices, torch.zeros(len(target), dtype=torch.int64))
        torch.testing.assert_close(solved.float(), target, rtol=1e-5, atol=1e-6 * float(target.abs().max()))
        torch.testing.assert_close(
            normalizer(target), conformers("slide/sliced", name, "ff_norm_train"), rtol=1e-4, atol=1e-4
        )
        loss = objective(conformers("slide/sliced", name, "model_out"), target)
        torch.testing.assert_close(loss.double(), conformers("slide/sliced", name, "ff_loss_ref"), rtol=1e-5, atol=0)


def test_the_released_target_is_a_thousandth_of_the_gradient_or_its_projection(generator):
    released = ms.data.transforms.AddTopology(as_released=True)
    batch = Batch.from_data_list([prepared_molecule(smiles, topology=released) for smiles in ("CCO", "O", "C1CC1")])
    noise = SliDeNoise(as_released=True)
    noisy = noise(batch, generator())
    gradient = noise.gradient(batch, noisy.pos)
    error = torch.linalg.vector_norm(1000 * noisy.gradient_target - gradient) / torch.linalg.vector_norm(gradient)
    assert error < 0.01
    few = SliDeNoise(num_slices=8, as_released=True)(batch, generator())
    for number in range(3):
        of_molecule = batch.batch == number
        assert few.gradient_target[of_molecule].norm() < 0.002 * noise.gradient(batch, few.pos)[of_molecule].norm()
    assert (noisy.pos - batch.pos).abs().max() < 0.5


def test_frozen_torsions_are_left_alone_as_released(generator):
    data = prepared_molecule("OO")
    data.torsion_frozen = torch.tensor([True])
    batch = Batch.from_data_list([data] * 20)
    for as_released in (True, False):
        pos = SliDeNoise(as_released=as_released).conformation(batch, generator()).view(20, -1, 3)
        phi = internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index)[2]
        assert (wrap_angle(phi - phi[0]).abs().max() < 1e-9) == as_released


def test_same_generator_same_noise_and_no_effect_of_neighbours_in_the_batch(generator):
    molecules = [prepared_molecule(smiles, torch.float32) for smiles in ("CCO", "[Na+].[Cl-]", "c1ccccc1")]
    batch = Batch.from_data_list(molecules)
    noise = SliDeNoise()
    first, second = (noise(batch, generator(3)) for _ in range(2))
    assert torch.equal(first.pos, second.pos)
    assert torch.equal(first.gradient_target, second.gradient_target)
    assert not torch.equal(first.pos, noise(batch, generator(4)).pos)
    for number, data in enumerate(molecules):
        pos = first.pos[batch.batch == number]
        target = first.gradient_target[batch.batch == number]
        torch.testing.assert_close(noise.gradient(data, pos), target, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(
            noise.energy(data, pos)[0], noise.energy(batch, first.pos)[number], rtol=1e-4, atol=1e-4
        )


def test_constants_and_temperatures_of_zero(generator):
    data = prepared_molecule("OO")
    data.torsion_k = torch.zeros(1).double()
    pos = SliDeNoise().conformation(data, generator())
    assert internal_coordinates(pos, data.bond_index, data.angle_index, data.torsion_index)[2].isfinite().all()
    torch.testing.assert_close(SliDeNoise(thermal_energy=0)(data, generator()).pos, data.pos)


def test_float32_is_accurate_enough(generator):
    data = prepared_molecule("CC(=O)NCC1CC1")
    noise = SliDeNoise()
    pos = noise.conformation(data, generator())
    exact, single = noise.gradient(data, pos), noise.gradient(data, pos.float())
    assert single.dtype == torch.float32
    assert (single - exact).norm() < 1e-4 * exact.norm()


def test_bad_input():
    noise = SliDeNoise()
    with pytest.raises(ValueError, match=r"needs the fields \['angle_index', 'torsion_index', 'rot.*AddTopology"):
        noise(ms.data.from_smiles("CCO"))
    data = TOPOLOGY(ms.data.from_smiles("CCO"))
    with pytest.raises(ValueError, match=r"needs the fields \['bond_k', 'angle_k', 'torsion_k'\].*ForceConstants"):
        noise(data)
    data = GENERIC(data)
    data.angle_k = data.angle_k[1:]
    with pytest.raises(ValueError, match=r"angle_k must have shape \(13,\), one constant.*got \(12,\)"):
        noise(data)
    with pytest.raises(ValueError, match="thermal_energy must not be negative"):
        SliDeNoise(-1)
    with pytest.raises(ValueError, match="num_slices must be at least 1"):
        SliDeNoise(num_slices=0)


@pytest.mark.cuda
def test_cuda_without_waiting():
    batch = Batch.from_data_list([prepared_molecule("CCO"), prepared_molecule("O")])
    noise = SliDeNoise()
    on_cpu = noise(batch)
    moved = batch.to("cuda")
    torch.testing.assert_close(noise.gradient(moved, on_cpu.pos.cuda()).cpu(), on_cpu.gradient_target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        noisy = noise(moved, torch.Generator("cuda").manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert noisy.gradient_target.isfinite().all()


def test_no_target_is_ruined_by_a_torsion_that_the_noise_has_straightened(generator):
    """The C≡C-C angle of this propargylamine is 174°, and noise takes it to 180° and back."""
    data = next(molecule for molecule in ms.data.MiniSpectra("all") if molecule.smiles == "C#CCN")
    data = GENERIC(TOPOLOGY(data))
    theta = internal_coordinates(data.pos, data.bond_index, data.angle_index, data.torsion_index)[1]
    data.pos = data.pos.double()
    batch = Batch.from_data_list([data] * 5000)
    noise = SliDeNoise()
    noisy = noise(batch, generator())
    literal = noise.gradient(batch, noisy.pos).norm(dim=1)
    assert theta.max() > math.radians(160)
    assert noisy.gradient_target.norm(dim=1).max() < 1000
    # Targets of most molecules are the gradient itself.
    same = (noisy.gradient_target - noise.gradient(batch, noisy.pos)).norm(dim=1) < 1e-9 * (1 + literal)
    assert same.double().mean() > 0.5
    everything = SliDeNoise(margin=0.0)(batch, generator())
    torch.testing.assert_close(everything.gradient_target, noise.gradient(batch, noisy.pos))


@pytest.mark.parametrize("k", [-1.0, torch.nan, torch.inf])
def test_constants_that_make_no_sense_are_refused(k):
    data = prepared_molecule("OO")
    data.torsion_k = torch.tensor([k])
    with pytest.raises(ValueError, match=r"torsion_k must be finite and not negative; got.*ForceConstants"):
        SliDeNoise()(data)


def test_noisy_positions_are_as_contiguous_as_any():
    data = prepared_molecule("CCO", torch.float32)
    for noise in (SliDeNoise(), ms.noise.FradNoise(), ms.noise.FradNoise(mode="vibration", as_released=True)):
        noisy = noise(data)
        assert all(noisy[key].is_contiguous() for key in ("pos", "pos_target", "gradient_target") if key in noisy)
