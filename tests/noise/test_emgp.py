"""3D-EMGP's noise: published numbers, the equations with loops and autograd, symmetries, statistics."""

import copy

import pytest
import torch
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.noise.emgp import EMGPNoise, riemann_force_target
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_molecules, random_orthogonal
from tests.conformers import random_batch

MODES = ["riemann.steps1", "riemann.steps3", "kabsch.steps1", "gaussian.steps1"]


def by_gram_matrices(perturbed, pos):
    """Force on one molecule by autograd: -∇ of the squared distance of Gram matrices, over 2 (|A| + |B|)."""
    x = perturbed.clone().requires_grad_()
    centered, clean = x - x.mean(0), pos - pos.mean(0)
    (gradient,) = torch.autograd.grad((centered @ centered.T - clean @ clean.T).square().sum(), x)
    centered = centered.detach()
    return -gradient / (2 * ((centered.T @ centered).norm() + (clean.T @ centered).norm()))


def perturbed_pair(sizes=(4, 3, 7, 2), std=0.7):
    torch.manual_seed(0)
    _, pos, batch = random_molecules(sizes, torch.float64)
    return pos + std * torch.randn_like(pos), pos, batch


@pytest.fixture
def published(load_fixture):
    return load_fixture("emgp/inputs.safetensors"), load_fixture("emgp/perturb.safetensors")


def test_published_scales(published):
    inputs, _ = published
    assert torch.equal(EMGPNoise().scale(torch.arange(50)), inputs["sigmas"])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", MODES)
def test_published_perturbations(published, name, dtype):
    inputs, expected = published
    mode, steps = name.split(".steps")
    noise = EMGPNoise(mode=mode, steps=int(steps), as_released=True)
    data = Data(pos=inputs["pos"].to(torch.float64 if dtype == "f64" else torch.float32))
    data.batch = inputs["batch"]
    normals = torch.stack([inputs[f"standard_normal.{step}"] for step in range(int(steps))])
    noisy = noise.perturb(data, inputs["noise_level"], normals=normals)
    over_sigma = noisy.force_target / noisy.noise_scale[data.batch].unsqueeze(1)
    got = {"pos_perturbed": noisy.pos, "force_target": noisy.force_target, "force_target_over_sigma": over_sigma}
    # In single precision the released target is a difference of large numbers, at σ = 0.01 Å with an error of 2e-5 σ.
    tolerance = 1e-10 if dtype == "f64" else 1e-5
    for field, actual in got.items():
        reference = expected[f"{dtype}.{name}.{field}"]
        scale = max(1.0, float(reference.abs().max()))
        assert_close(actual, reference, rtol=0, atol=tolerance * scale * (10 if "sigma" in field else 1))


class TestRiemannForceTarget:
    def test_is_minus_the_gradient_of_the_gram_distance(self):
        perturbed, pos, batch = perturbed_pair()
        expected = [by_gram_matrices(perturbed[batch == i], pos[batch == i]) for i in range(4)]
        assert_close(riemann_force_target(perturbed, pos, batch), torch.cat(expected), rtol=0, atol=1e-12)
        assert_close(riemann_force_target(perturbed, pos, batch, num_molecules=4), torch.cat(expected))
        alone = [riemann_force_target(perturbed[batch == i], pos[batch == i]) for i in range(4)]
        assert_close(torch.cat(alone), torch.cat(expected), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("determinant", [1, -1])
    def test_blind_to_rigid_motion_of_the_molecule_and_turns_with_the_perturbed_one(self, determinant):
        perturbed, pos, batch = perturbed_pair()
        force = riemann_force_target(perturbed, pos, batch)
        turn, shift = random_orthogonal(torch.float64, determinant), torch.tensor([5.0, -30.0, 7.0])
        assert_close(riemann_force_target(perturbed, pos @ turn.T + shift, batch), force, rtol=0, atol=1e-10)
        turned = riemann_force_target(perturbed @ turn.T + shift, pos, batch)
        assert_close(turned, force @ turn.T, rtol=0, atol=1e-10)
        total = torch.zeros(4, 3, dtype=torch.float64).index_add(0, batch, force)
        assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)

    def test_zero_at_the_molecule_itself_however_it_lies(self):
        _, pos, batch = perturbed_pair()
        assert (riemann_force_target(pos, pos, batch) == 0).all()
        turned = pos @ random_orthogonal(torch.float64, -1) + 1
        assert_close(riemann_force_target(turned, pos, batch), torch.zeros_like(pos), rtol=0, atol=1e-12)

    def test_a_step_along_it_comes_closer(self):
        perturbed, pos, batch = perturbed_pair((6,))

        def distance(x):
            x, y = x - x.mean(0), pos - pos.mean(0)
            return (x @ x.T - y @ y.T).norm()

        assert distance(perturbed + 0.1 * riemann_force_target(perturbed, pos, batch)) < distance(perturbed)

    def test_double_precision_inside(self):
        """Positions far from the origin in float32 cause no error beyond their own rounding."""
        perturbed, pos, batch = perturbed_pair(std=0.01)
        perturbed, pos = perturbed.float() + 100, pos.float() + 100
        exact = riemann_force_target(perturbed.double(), pos.double(), batch)
        assert_close(riemann_force_target(perturbed, pos, batch), exact.float(), rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("count", [1, 3, 7])
    def test_exactly_zero_where_the_formula_is_zero_over_zero(self, count, dtype):
        point = torch.tensor([[0.1, 0.7, -1 / 3]], dtype=dtype).expand(count, 3)
        spread = random_molecules((count,), dtype)[1]
        for pos in (point + 1.1, spread):  # both coincide, or only the perturbed ones
            force = riemann_force_target(point, pos)
            assert (force == 0).all()
        assert riemann_force_target(spread, point).isfinite().all()

    @pytest.mark.parametrize("name", EDGE_MOLECULES)
    def test_finite_with_its_derivatives(self, name):
        _, pos = edge_molecule(name, torch.float64)
        ordinary = random_molecules((4,), torch.float64)[1]
        both, batch = torch.cat([pos, ordinary]), torch.tensor([0] * len(pos) + [1] * 4)
        point = both[batch.eq(0).nonzero()[:1, 0]].expand_as(both)
        for perturbed, clean in ((both, both), (point, both), (both, point), (point, point), (both + 0.1 * both, both)):
            x, y = perturbed.clone().requires_grad_(), clean.clone().requires_grad_()
            force = riemann_force_target(x, y, batch)
            first = torch.autograd.grad(force.square().sum() + force.sum(), (x, y), create_graph=True)
            second = torch.autograd.grad(sum((grad - 0.1).square().sum() for grad in first), (x, y))
            assert all(value.isfinite().all() for value in (force, *first, *second))

    def test_derivatives_against_finite_differences(self):
        perturbed, pos, batch = perturbed_pair((3, 2))
        inputs = (perturbed.requires_grad_(), pos.requires_grad_())
        assert torch.autograd.gradcheck(lambda x, y: riemann_force_target(x, y, batch), inputs)
        assert torch.autograd.gradgradcheck(lambda x, y: riemann_force_target(x, y, batch), inputs)


class TestEMGPNoise:
    def test_one_step_is_plain_gaussian_noise(self, generator):
        batch = random_batch()
        riemann, gaussian = (EMGPNoise(mode=mode)(batch, generator(3)) for mode in ("riemann", "gaussian"))
        assert torch.equal(riemann.pos, gaussian.pos)
        assert torch.equal(gaussian.force_target, batch.pos - gaussian.pos)
        assert not torch.allclose(riemann.force_target, gaussian.force_target)

    def test_langevin_steps_spelled_out(self):
        batch, level = random_batch(), torch.tensor([20, 35, 28])
        normals = torch.randn(4, 10, 3, dtype=torch.float64)
        sigma = 10 * 0.001 ** (level.double() / 49)
        expected = []
        for i in range(3):
            clean = batch[i].pos
            pos = clean.clone()
            for t in (1, 2, 3, 4):
                force = torch.zeros_like(pos) if len(pos) == 1 else by_gram_matrices(pos, clean)
                pos = pos + 2**-t * force + (2 * 2**-t) ** 0.5 * sigma[i] * normals[t - 1][batch.batch == i]
            expected.append(pos)
        noisy = EMGPNoise(steps=4).perturb(batch, level, normals=normals)
        assert_close(noisy.pos, torch.cat(expected), rtol=0, atol=1e-6)  # scales are in single precision
        assert_close(noisy.noise_scale, sigma, rtol=1e-6, atol=0)

    @pytest.mark.parametrize("name", MODES)
    def test_a_batch_is_its_molecules_one_by_one(self, name):
        mode, steps = name.split(".steps")
        batch, level = random_batch(), torch.tensor([15, 30, 45])
        noise = EMGPNoise(mode=mode, steps=int(steps))
        normals = torch.randn(int(steps), 10, 3, dtype=torch.float64)
        together = noise.perturb(batch, level, normals=normals)
        for i in range(3):
            mine = batch.batch == i
            alone = noise.perturb(batch.get_example(i), level[i : i + 1], normals=normals[:, mine])
            assert_close(together.pos[mine], alone.pos, rtol=0, atol=1e-12)
            assert_close(together.force_target[mine], alone.force_target, rtol=0, atol=1e-12)
            assert torch.equal(together.noise_scale[i : i + 1], alone.noise_scale)

    @pytest.mark.parametrize("name", MODES)
    def test_same_generator_same_noise_and_the_input_is_untouched(self, name, generator):
        mode, steps = name.split(".steps")
        noise, batch = EMGPNoise(mode=mode, steps=int(steps)), random_batch()
        before = copy.deepcopy(batch)
        first, second = (noise(batch, generator(3)) for _ in range(2))
        for field in ("pos", "force_target", "noise_level", "noise_scale"):
            assert torch.equal(first[field], second[field])
        assert not torch.equal(first.pos, noise(batch, generator(4)).pos)
        assert torch.equal(batch.pos, before.pos)
        assert sorted(batch.keys()) == sorted(before.keys())
        assert first.num_graphs == 3

    def test_fields_of_a_batch_a_molecule_and_a_data_with_a_batch_field(self):
        batch = random_batch(dtype=torch.float32)
        noise = EMGPNoise()
        noisy = noise(batch)
        assert noisy.noise_level.dtype == torch.int64
        assert noisy.noise_scale.dtype == torch.float32
        assert (noisy.force_target.shape, noisy.noise_scale.shape) == ((10, 3), (3,))
        single = noise(batch.get_example(2))
        assert (single.force_target.shape, single.noise_level.shape) == ((6, 3), (1,))
        assert Batch.from_data_list([single, single]).noise_level.shape == (2,)  # as a transform in a loader
        data = Data(pos=batch.pos)
        data.batch = batch.batch
        assert noise(data).noise_level.shape == (3,)

    def test_statistics(self, generator):
        """Levels are equally frequent, and displacements at each level have its scale."""
        batch = Batch.from_data_list([Data(pos=torch.randn(4, 3, generator=generator(3)))] * 5000)
        noisy = EMGPNoise(8.0, 0.5, num_levels=5)(batch, generator(3))
        counts = noisy.noise_level.bincount(minlength=5)
        assert ((counts - 1000).abs() < 5 * (5000 * 0.2 * 0.8) ** 0.5).all()
        displacement = noisy.pos - batch.pos
        for level, sigma in enumerate([8.0, 4.0, 2.0, 1.0, 0.5]):
            of_level = displacement[(noisy.noise_level == level)[batch.batch]]
            assert of_level.std().item() == pytest.approx(sigma, rel=5 / (2 * of_level.numel()) ** 0.5)
            assert of_level.mean(0).abs().max() < 5 * sigma / len(of_level) ** 0.5

    def test_later_steps_add_what_they_say_to_lone_atoms(self, generator):
        """A lone atom feels no force: the variances of the steps add up to σ² (1 + 1/2 + 1/4)."""
        batch = Batch.from_data_list([Data(pos=torch.zeros(1, 3))] * 20_000)
        noisy = EMGPNoise(2.0, 2.0, steps=3)(batch, generator(3))
        assert noisy.pos.var().item() == pytest.approx(4 * 1.75, rel=0.05)
        assert (noisy.force_target == 0).all()

    def test_kabsch_comes_closest_and_only_the_released_mirrors(self):
        torch.manual_seed(0)
        clean = torch.randn(5, 3, dtype=torch.float64)
        batch, level = Batch.from_data_list([Data(pos=clean)] * 300), torch.zeros(300, dtype=torch.int64)
        normals = torch.randn(1, 1500, 3, dtype=torch.float64)
        plain, proper, released = (
            EMGPNoise(1.0, 0.01, mode=mode, as_released=as_released).perturb(batch, level, normals=normals).pos
            for mode, as_released in (("gaussian", False), ("kabsch", False), ("kabsch", True))
        )
        errors = [(pos - batch.pos).square().view(300, -1).sum(1) for pos in (plain, proper, released)]
        assert (errors[1] <= errors[0] + 1e-12).all()
        assert (errors[2] <= errors[1] + 1e-12).all()

        def volume(pos):  # changes sign under reflection
            return torch.linalg.det((pos.view(300, 5, 3) - pos.view(300, 5, 3)[:, :1])[:, 1:4])

        assert (volume(proper) * volume(plain) > 0).all()
        mirrored = volume(released) * volume(plain) < 0
        by_svd = [torch.linalg.det((x - x.mean(0)).T @ (clean - clean.mean(0))) < 0 for x in plain.view(300, 5, 3)]
        assert torch.equal(mirrored, torch.stack(by_svd))
        assert 10 < mirrored.sum() < 290
        assert_close(errors[1][~mirrored], errors[2][~mirrored])

    @pytest.mark.parametrize("name", EDGE_MOLECULES)
    @pytest.mark.parametrize("mode", MODES)
    def test_edge_molecules(self, name, mode):
        mode, steps = mode.split(".steps")
        _, pos = edge_molecule(name)
        batch = Batch.from_data_list([Data(pos=pos)] * 50)
        for as_released in (False, True):
            noise = EMGPNoise(mode=mode, steps=int(steps), as_released=as_released)
            noisy = noise.perturb(batch, torch.arange(50))
            assert noisy.pos.isfinite().all()
            assert (noisy.force_target / noisy.noise_scale[batch.batch, None]).isfinite().all()

    def test_one_level(self):
        assert EMGPNoise(0.3, 0.1, num_levels=1).scale(torch.tensor([0])).item() == pytest.approx(0.3)

    def test_on_real_molecules_targets_are_of_the_size_of_the_noise(self, generator):
        batch = Batch.from_data_list(list(ms.data.MiniSpectra("train")[:40]))
        noise = EMGPNoise()
        for level in (5, 20, 35, 49):
            noisy = noise.perturb(batch, torch.full((40,), level), generator(3))
            scaled = noisy.force_target / noisy.noise_scale[batch.batch, None]
            assert 0.3 < scaled.square().mean().sqrt() < 3

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"min_std": 0.0}, r"0 < min_std <= max_std < inf \(Å\); got min_std=0.0 and max_std=10.0"),
            ({"max_std": 0.001}, "min_std <= max_std"),
            ({"max_std": float("inf")}, "max_std < inf"),
            ({"num_levels": 0}, "num_levels must be at least 1; got 0"),
            ({"steps": 0}, "steps must be at least 1"),
            ({"mode": "uniform"}, 'mode must be "riemann", "kabsch" or "gaussian"; got \'uniform\''),
            ({"mode": "kabsch", "steps": 2}, "steps=2 is for mode='riemann'"),
        ],
    )
    @pytest.mark.usefixtures("no_shape_checks")
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            EMGPNoise(**arguments)

    @pytest.mark.parametrize(
        ("level", "normals", "message"),
        [
            ([0, 1], None, r"noise_level must have shape \(3,\), one level per molecule; got \(2,\)"),
            ([0, 1, 50], None, r"noise_level must lie in 0..49; got 0 to 50"),
            ([0, 1, 2], (10, 3), r"normals must have shape \(1, 10, 3\), \(steps, N, 3\); got \(10, 3\)"),
        ],
    )
    @pytest.mark.usefixtures("no_shape_checks")
    def test_bad_levels_and_normals(self, level, normals, message):
        normals = None if normals is None else torch.zeros(normals)
        with pytest.raises(ValueError, match=message):
            EMGPNoise().perturb(random_batch(), torch.tensor(level), normals=normals)

    @pytest.mark.cuda
    def test_cuda(self, generator):
        batch = random_batch(dtype=torch.float32).to("cuda")
        for name in MODES:
            mode, steps = name.split(".steps")
            noisy = EMGPNoise(mode=mode, steps=int(steps))(batch, generator(device="cuda"))
            assert noisy.force_target.is_cuda
            assert noisy.force_target.isfinite().all()
