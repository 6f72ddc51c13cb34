"""3D-EMGP against its parts, the published training step, and edge molecules."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.methods.emgp import EMGP
from molspectra.testing import EDGE_MOLECULES, edge_molecule, random_orthogonal

SETTINGS = {
    "gradient": {},
    "vector": {"prediction": "vector"},
    "several steps": {"steps": 3},
    "kabsch": {"mode": "kabsch"},
    "gaussian, vector": {"mode": "gaussian", "prediction": "vector"},
}
every_setting = pytest.mark.parametrize("arguments", SETTINGS.values(), ids=SETTINGS)
either_prediction = pytest.mark.parametrize("prediction", ["gradient", "vector"])


class ScalarsOnly(nn.Module):
    """Encoder of invariants: embeddings summed over neighbors with a weight that falls with distance."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(119, 16)

    def forward(self, z, pos, batch=None):
        batch = torch.zeros_like(z) if batch is None else batch
        square = (pos.unsqueeze(0) - pos.unsqueeze(1)).square().sum(2)
        weight = torch.exp(-square / 4) * (batch.unsqueeze(0) == batch.unsqueeze(1))
        return ms.encoders.AtomFeatures((weight @ self.embedding(z)).tanh())


@pytest.mark.parametrize("as_released", [False, True])
@either_prediction
def test_is_the_sum_of_its_parts(batch, prediction, as_released, generator, make_encoder):
    encoder, method = (
        make_encoder(),
        EMGP(
            16,
            max_std=1.0,
            num_levels=5,
            prediction=prediction,
            weights={"denoising": 2, "noise_scale": 3},
            as_released=as_released,
        ),
    )
    noisy = ms.noise.EMGPNoise(1.0, 0.01, num_levels=5)(batch, generator(1))
    pos = noisy.pos.clone().requires_grad_()
    before, after = encoder(batch.z, batch.pos, batch.batch), encoder(batch.z, pos, batch.batch)
    if prediction == "gradient":
        energy = method.head.energy
        (gradient,) = torch.autograd.grad(energy(after, batch).sum(), pos, create_graph=True)
        predicted, pool = -gradient, energy.pool
    else:
        predicted, pool = method.head(after), method.pooling
    error = (predicted - noisy.force_target / noisy.noise_scale[batch.batch, None]).square()
    of_molecule = [error[batch.batch == i].sum() for i in range(6)]
    denoising = sum(of_molecule) / (6 if as_released else len(error))
    both = torch.cat([pool(before, batch), pool(after, batch)], dim=1)
    log_probability = method.noise_scale_head.mlp(both).log_softmax(1)
    noise_scale = -sum(log_probability[i, noisy.noise_level[i]] for i in range(6)) / 6
    losses = method(encoder, batch, generator(1))
    assert sorted(losses) == ["denoising", "loss", "noise_scale"]
    assert_close(losses["denoising"], denoising)
    assert_close(losses["noise_scale"], noise_scale)
    assert_close(losses["loss"], 2 * denoising + 3 * noise_scale)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_published_training_step(load_fixture, reference, steps, dtype):
    """Compare losses and gradients of the published weights for the published levels and normal numbers."""
    published = ms.pretrained.load_reference(reference / "emgp/checkpoint-3dmgp.safetensors")
    inputs, outputs = load_fixture("emgp/inputs.safetensors"), load_fixture("emgp/outputs.safetensors")
    prefix = f"f{torch.finfo(dtype).bits}.forward.steps{steps}."
    method = EMGP(128, steps=steps, as_released=True)
    method.head.energy, method.noise_scale_head = published.energy_head, published.noise_scale_head
    noise, normals = method.noise, torch.stack([inputs[f"standard_normal.{step}"] for step in range(steps)])
    method.noise = lambda data, _: noise.perturb(data, inputs["noise_level"], normals=normals)
    encoder = published.encoder.to(dtype)
    data = Data(z=inputs["z"], pos=inputs["pos"].to(dtype), bond_index=inputs["bond_index"])
    data.batch = inputs["batch"]
    losses = method.to(dtype)(encoder, data)
    tolerance = {"rtol": 1e-4 if dtype == torch.float32 else 1e-8, "atol": 0}
    for name, ours in {"loss_denoise": "denoising", "loss_inp": "noise_scale", "loss_total": "loss"}.items():
        assert_close(losses[ours], outputs[prefix + name], **tolerance)
    losses["loss"].backward()
    gradients = {name: value for name, value in outputs.items() if name.startswith(prefix + "grad_total.")}
    assert len(gradients) == (4 if steps == 1 else 0)
    parameters = [*encoder.parameters(), *method.parameters()]
    for name, expected in gradients.items():  # of parameters of one shape, only the right one agrees to all digits
        size = expected.abs().max()
        errors = [
            ((parameter.grad - expected).abs().max() / size).item()
            for parameter in parameters
            if parameter.grad is not None and parameter.grad.shape == expected.shape
        ]
        assert min(errors) < tolerance["rtol"], name


@every_setting
def test_every_parameter_gets_a_gradient(batch, arguments, make_encoder):
    encoder, method = make_encoder(), EMGP(16, **arguments)
    method(encoder, batch)["loss"].backward()
    unused = [name for name, p in [*encoder.named_parameters(), *method.named_parameters()] if p.grad is None]
    assert unused == []


@either_prediction
def test_as_released_every_trainable_parameter_of_the_method_gets_a_gradient(batch, prediction, make_encoder):
    method = EMGP(16, prediction=prediction, as_released=True)
    method(make_encoder(), batch)["loss"].backward()
    assert [name for name, p in method.named_parameters() if p.requires_grad and p.grad is None] == []


@every_setting
def test_same_generator_same_losses_and_a_single_molecule(batch, arguments, generator, make_encoder):
    encoder, method = make_encoder(), EMGP(16, **arguments)
    first, second = (method(encoder, batch, generator(1)) for _ in range(2))
    for name in first:
        assert_close(first[name], second[name], rtol=1e-6, atol=1e-6)
    assert method(encoder, batch, generator(2))["loss"] != first["loss"]
    assert method(encoder, batch.get_example(0), generator(1))["loss"].isfinite()
    with torch.no_grad():
        assert_close(method(encoder, batch, generator(1))["loss"], first["loss"])


@either_prediction
def test_the_loss_does_not_depend_on_how_molecules_lie(batch, prediction, generator, make_encoder):
    """Rotate the molecules, or their perturbed forms: the loss stays the same."""
    encoder, method = make_encoder().double(), EMGP(16, prediction=prediction).double()
    batch.pos = batch.pos.double()
    noisy = method.noise.perturb(batch, torch.tensor([10, 15, 20, 25, 30, 49]), generator(1))
    losses = []
    for turn in (torch.eye(3).double(), random_orthogonal(torch.float64), random_orthogonal(torch.float64, -1)):
        for pos, noisy_pos in ((batch.pos @ turn.T + 3, noisy.pos), (batch.pos, noisy.pos @ turn.T + 3)):
            clean, perturbed = batch.clone(), noisy.clone()
            clean.pos, perturbed.pos = pos, noisy_pos
            perturbed.force_target = ms.noise.riemann_force_target(noisy_pos, pos, batch.batch)
            method.noise = lambda *_, perturbed=perturbed: perturbed
            losses.append(method(encoder, clean)["loss"])
    assert_close(torch.stack(losses), losses[0].expand(6), rtol=1e-9, atol=0)


def test_an_encoder_without_vectors(batch):
    encoder, method = ScalarsOnly(), EMGP(16)
    method(encoder, batch)["loss"].backward()
    assert encoder.embedding.weight.grad.isfinite().all()
    with pytest.raises(ValueError, match='needs atom vectors.*prediction="gradient"'):
        EMGP(16, prediction="vector")(encoder, batch)


@pytest.mark.parametrize("as_released", [False, True], ids=["", "as released"])
@pytest.mark.parametrize("name", EDGE_MOLECULES)
def test_edge_molecules(name, as_released, generator, make_encoder):
    """Check losses and gradients alone and beside an ordinary molecule, at the largest and the smallest scale."""
    z, pos = edge_molecule(name)
    ordinary = ms.data.MiniSpectra("train")[3]
    edge, ordinary = Data(z=z, pos=pos), Data(z=ordinary.z, pos=ordinary.pos)
    for arguments in ({"steps": 2}, {"mode": "kabsch"}, {"prediction": "vector"}):
        for scale in (10.0, 0.01):
            method = EMGP(16, max_std=scale, min_std=scale, as_released=as_released, **arguments)
            encoder = make_encoder()
            for molecules in ([edge], [edge, ordinary]):
                losses = method(encoder, Batch.from_data_list(molecules), generator(1))
                losses["loss"].backward()
                assert all(loss.isfinite() for loss in losses.values())
                for parameter in [*encoder.parameters(), *method.parameters()]:
                    assert parameter.grad is None or parameter.grad.isfinite().all()


@either_prediction
def test_autocast(batch, prediction, generator, make_encoder):
    encoder, method = make_encoder(), EMGP(16, prediction=prediction)
    exact = method(encoder, batch, generator(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method(encoder, batch, generator(1))
    losses["loss"].backward()
    for name in exact:
        assert losses[name].dtype == torch.float32
        assert_close(losses[name], exact[name], rtol=0.1, atol=0.1)
    assert all(p.grad.isfinite().all() for p in [*encoder.parameters(), *method.parameters()])


def test_double_precision(batch, make_encoder):
    batch.pos = batch.pos.double()
    losses = EMGP(16).double()(make_encoder().double(), batch)
    assert all(loss.dtype == torch.float64 for loss in losses.values())


def test_within_molspectra_and_noisy_nodes(batch, generator, make_encoder):
    lengths = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
    specformer = ms.spectra.SpecFormer(lengths, 100, 50, 16, 2, 4, 16)
    denoise, encoder = EMGP(16), make_encoder()
    total, atoms, noisy, _ = denoise.run(encoder, batch, generator(1))
    assert_close(total, denoise(encoder, batch, generator(1))["loss"])
    assert_close(atoms.scalars, encoder(noisy.z, noisy.pos, noisy.batch).scalars)
    for method in (
        ms.methods.MolSpectra(denoise, specformer),
        ms.methods.NoisyNodes(denoise, ms.heads.ScalarHead(16), label="gap", separate=True),
    ):
        encoder = make_encoder()
        method(encoder, batch)["loss"].backward()
        assert [name for name, p in denoise.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("arguments", [{}, {"prediction": "vector"}, {"mode": "kabsch", "as_released": True}])
def test_comes_back_from_disk(batch, tmp_path, arguments, generator, make_encoder):
    method = EMGP(16, max_std=5.0, num_levels=7, weights={"denoising": 1.0, "noise_scale": 0.5}, **arguments)
    encoder = make_encoder()
    ms.pretrained.save(method, tmp_path)
    again = ms.pretrained.load(tmp_path)
    losses = [each.eval()(encoder, batch, generator(1)) for each in (method, again)]
    assert_close(losses[1], losses[0])


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_arguments(batch, make_encoder):
    with pytest.raises(ValueError, match='prediction must be "gradient" or "vector"; got \'energy\''):
        EMGP(16, prediction="energy")
    with pytest.raises(ValueError, match=r"weights must be of .denoising. and .noise_scale.; got \['denoising'\]"):
        EMGP(16, weights={"denoising": 1.0})(make_encoder(), batch)


@pytest.mark.slow
def test_training_learns(batch, make_encoder):
    """Lower both parts of the loss in a few dozen steps on six molecules."""
    encoder, method = make_encoder(), EMGP(16, max_std=1.0, num_levels=10)
    optimizer = torch.optim.Adam([*encoder.parameters(), *method.parameters()], lr=3e-3)
    history = []
    for _ in range(80):
        losses = method(encoder, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name in history[0]:
        first, last = (sum(step[name] for step in part) / 20 for part in (history[:20], history[-20:]))
        assert last < 0.95 * first, name


@pytest.mark.cuda
@either_prediction
def test_cuda(batch, prediction, make_encoder):
    encoder, method = make_encoder().cuda(), EMGP(16, prediction=prediction).cuda()
    losses = method(encoder, batch.to("cuda"), torch.Generator("cuda").manual_seed(0))
    losses["loss"].backward()
    assert losses["loss"].is_cuda
    assert losses["loss"].isfinite()
