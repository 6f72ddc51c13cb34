"""Import of SliDe's own encoder: parity with the published numbers, and layouts that are refused."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from molspectra.pretrained import load, load_reference, save
from molspectra.pretrained.reference.lightning import import_lightning

VARIANTS = ("qm9_pretrain", "md17_pretrain", "qm9_finetune", "md17_finetune")
ENCODER = "model.representation_model."
# Vectors of atoms on a line or in a plane span less than three directions, and the released whitening norm amplifies
# their rounding. Gradients of exactly straight or flat molecules are noise in the release as well.
TOLERANCES = {
    "organic": 1e-11,
    "ring": 1e-11,
    "lone": 1e-11,
    "diatomic": 1e-8,
    "linear_bent": 1e-8,
    "mixed": 1e-8,
    "ring_flat": 1e-8,
    "linear": 1e-8,
}
WITHOUT_GRADIENTS = ("ring_flat", "linear")


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "slide_get"


@pytest.fixture(scope="module")
def config(load_fixture):
    return load_fixture("slide_get/config.json")


@pytest.fixture(scope="module")
def batches(folder):
    return load_file(folder / "batches.safetensors")


def hyper_parameters(config, variant):
    changed = config["hyper_parameters"][variant].get("_differences_from_qm9_pretrain", {})
    return config["hyper_parameters"]["qm9_pretrain"] | changed


@pytest.fixture(params=VARIANTS)
def variant(request):
    return request.param


@pytest.fixture
def checkpoint(folder, config, variant):
    state = load_file(folder / f"{variant}.state_dict.safetensors")
    hyper = hyper_parameters(config, variant) | config["small"]["overrides"]
    return {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "hyper_parameters": hyper}


def outputs_of(published, z, pos, batch):
    """Everything that a published model computes, by the names of the golden numbers."""
    atoms = published.encoder(z, pos, batch)
    energies = published.property_head(atoms, Data(z=z, pos=pos, batch=batch))
    (gradient,) = torch.autograd.grad(energies.sum(), pos, retain_graph=True)
    outputs = {"x": atoms.scalars, "vec": atoms.vectors, "pred": energies, "grad_pos": gradient, "forces": -gradient}
    noise = published.noise_head(atoms)
    if published.force_head is None:
        return outputs | {"noise_pred": noise, "nvec": published.noise_head.vector_norm(atoms.vectors)}
    return outputs | {"noise_pred": published.force_head(atoms), "noise_pred_frad": noise}


def check(actual, expected, tolerance, leave_out=()):
    compared = 0
    for name, golden in expected.items():
        if name in actual and name not in leave_out:
            scale = max(1.0, float(golden.abs().max()))
            error = float((actual[name].detach().double() - golden.double().view_as(actual[name])).abs().max())
            # Gradients of the release lose a digit more than its features.
            bound = tolerance * (100 if name in ("grad_pos", "forces") else 1)
            assert error <= bound * scale, f"{name}: {error:.1e} of {scale:.1g}"
            compared += 1
    assert compared >= 4 - len(leave_out)


def check_published(folder, batches, checkpoint, variant, batch, dtype, tolerance, leave_out=()):
    """Compare a published model in a precision with its golden numbers on a batch."""
    published = import_lightning(checkpoint, variant)
    golden = load_file(folder / f"{variant}.outputs.safetensors")
    prefix = f"{batch}.f64."
    expected = {name.removeprefix(prefix): tensor for name, tensor in golden.items() if name.startswith(prefix)}
    for part in parts_of(published):
        part.to(dtype)
    z, pos, molecule = (batches[f"{batch}.{name}"] for name in ("z", "pos", "batch"))
    check(outputs_of(published, z, pos.to(dtype).requires_grad_(), molecule), expected, tolerance, leave_out)


@pytest.mark.parametrize("batch", TOLERANCES)
def test_published_numbers(folder, batches, checkpoint, variant, batch):
    leave_out = ("grad_pos", "forces") if batch in WITHOUT_GRADIENTS else ()
    check_published(folder, batches, checkpoint, variant, batch, torch.float64, TOLERANCES[batch], leave_out)


@pytest.mark.parametrize("batch", ["organic", "ring"])
def test_published_numbers_in_single_precision(folder, batches, checkpoint, variant, batch):
    check_published(folder, batches, checkpoint, variant, batch, torch.float32, 3e-5)


def parts_of(published):
    parts = published.encoder, published.property_head, published.noise_head, published.force_head
    return [part for part in parts if part is not None]


def formula(name, shape, rank, kept):
    """The closed-form weights that stand in for the full-size checkpoints (config.json, `rule`)."""
    if "normalizer" in name:
        values = {"acc_sum": [0.3, -0.2, 0.1], "acc_squared_sum": [16.0, 18.0, 15.0]}
        values |= {"acc_count": [10000.0], "num_accumulations": [80.0]}
        return torch.tensor(values[name.rpartition(".")[2]][: shape[0]], dtype=torch.float32)
    if name in kept:
        return kept[name]
    j = torch.arange(int(torch.tensor(shape).prod()), dtype=torch.float64)
    t = 43758.5453 * torch.sin(12.9898 * (j + 1) + 78.233 * (rank + 1))
    s = (2 * (t - t.floor()) - 1).reshape(shape)
    if name.endswith("emb.dist_emb.freq"):
        return (torch.pi * (j + 1) + 0.2 * s).float()
    if len(shape) >= 2:
        return (1.7 / shape[-1] ** 0.5 * s).float()
    return (1 + 0.2 * s if name.endswith(".weight") else 0.2 * s).float()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS[:2])
def test_full_size(folder, config, variant):
    shapes = config["layout"][variant]["keys"]
    num_rbf = shapes[f"{ENCODER}distance_expansion.means"][0]
    first = math.exp(-5)
    means = torch.linspace(first, 1, num_rbf, dtype=torch.float64)
    betas = torch.full((num_rbf,), (2 / num_rbf * (1 - first)) ** -2, dtype=torch.float64)
    kept = {"model.mean": torch.tensor(0.0), "model.std": torch.tensor(1.0)}
    for basis in ("distance_expansion", "init_e.distance_exp"):
        kept |= {f"{ENCODER}{basis}.means": means, f"{ENCODER}{basis}.betas": betas}
    names = enumerate(sorted(shapes))
    checkpoint = {
        "state_dict": {name: formula(name, shapes[name], rank, kept) for rank, name in names},
        "hyper_parameters": hyper_parameters(config, variant),
    }
    published = import_lightning(checkpoint, variant)
    unused = sum(tensor.numel() for name, tensor in published.extras.items() if ".x_norms." in name)
    num_weights = sum(parameter.numel() for parameter in published.encoder.parameters())
    assert num_weights + unused == config["layout"][variant]["n_encoder"]
    tensors = load_file(folder / "full_size_formula" / "io.safetensors")
    for part in parts_of(published):
        part.double()
    # The numbers were computed by a model that was built in float64, and whose constants were never rounded.
    published.encoder.radial_basis.centers.copy_(means)
    published.encoder.radial_basis.betas.copy_(betas)
    prefix = f"{variant}.f64."
    expected = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    pos = tensors["in.pos"].requires_grad_()
    # A few of the formula's values round to float32 differently with another sine.
    check(outputs_of(published, tensors["in.z"], pos, tensors["in.batch"]), expected, 1e-6)


def test_what_has_no_counterpart_is_handed_out_as_it_is(checkpoint, variant):
    published = import_lightning(checkpoint, variant)
    for name, tensor in published.extras.items():
        assert torch.equal(tensor, checkpoint["state_dict"][name])
    assert any(".x_norms." in name for name in published.extras) == variant.startswith("qm9")
    assert not any(module.training for part in parts_of(published) for module in part.modules())


def test_from_a_file_and_back(checkpoint, batches, tmp_path):
    path = tmp_path / "published.ckpt"
    torch.save(checkpoint, path)
    encoder = load_reference(path).encoder
    save(encoder, tmp_path / "saved")
    arguments = batches["mixed.z"], batches["mixed.pos"].float(), batches["mixed.batch"]
    for one, other in zip(encoder(*arguments), load(tmp_path / "saved").eval()(*arguments), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("variant", ["qm9_pretrain"], indirect=True)
def test_the_name_of_the_model_may_be_missing(checkpoint, variant):
    named = import_lightning(checkpoint, variant).encoder
    del checkpoint["hyper_parameters"]["model"]
    assert import_lightning(checkpoint, variant).encoder.config == named.config


REFUSED = {
    "the other arrangement": (
        "qm9_pretrain",
        lambda state, hyper: hyper.update(model="equivariant-transformerf2d_org"),
        r"unexpected: edge_updates\.0\.state_norm\.weight",
    ),
    "the transformer of Coord": (
        "qm9_pretrain",
        lambda state, hyper: hyper.update(model="equivariant-transformer"),
        r"unexpected: update_es\.0\.",
    ),
    "another basis": (
        "md17_pretrain",
        lambda state, hyper: hyper.update(num_spherical=4),
        r"num_spherical=4; only 3 or None",
    ),
    "norms ahead of the residual": (
        "md17_pretrain",
        lambda state, hyper: state.update({f"{ENCODER}vec_norms.0.weight": torch.ones(24)}),
        r"norms of vectors in each layer; only md17=True",
    ),
    "two different radial bases": (
        "md17_pretrain",
        lambda state, hyper: state[f"{ENCODER}init_e.distance_exp.means"].add_(1),
        r"init_e\.distance_exp\.means, unlike distance_expansion\.means",
    ),
    "a weight missing": (
        "qm9_finetune",
        lambda state, hyper: state.pop(f"{ENCODER}update_es.1.lin_t2.weight"),
        r"missing: edge_updates\.1\.torsion\.1\.weight \(64, 8\)",
    ),
    "normed vectors for one head of two": (
        "md17_pretrain",
        lambda state, hyper: hyper.update(seperate_noise=True),
        r"output_model_ff\., as vectors are normalized for one head only",
    ),
}


@pytest.mark.parametrize(("variant", "alter", "message"), REFUSED.values(), ids=REFUSED, indirect=["variant"])
def test_what_does_not_fit_is_refused_and_listed(checkpoint, variant, alter, message):
    alter(checkpoint["state_dict"], checkpoint["hyper_parameters"])
    with pytest.raises(ValueError, match=message):
        import_lightning(checkpoint, variant)


@pytest.mark.parametrize("variant", ["md17_finetune"], indirect=True)
def test_without_a_noise_head_its_norm_is_an_extra(checkpoint, variant):
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {name: tensor for name, tensor in state.items() if "output_model_noise" not in name}
    published = import_lightning(checkpoint, variant)
    assert published.noise_head is None
    assert f"{ENCODER}out_norm_vec.weight" in published.extras
