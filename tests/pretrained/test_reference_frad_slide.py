"""Import of Frad and SliDe: their key layouts, filled with weights whose published numbers are known."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from torch_geometric.data import Data

from molspectra.pretrained import load_reference

ENCODER = "model.representation_model."
NOISE = "model.output_model_noise."
NORMALIZER = "model.pos_normalizer."


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "lightning_ckpt"


def checkpoint(folder, name="coord_tiny", drop=(), **options):
    loaded = torch.load(folder / f"{name}.ckpt", weights_only=True)
    hyper = {key: value for key, value in loaded["hyper_parameters"].items() if key not in drop}
    return loaded["state_dict"], hyper | options


def write(tmp_path, state, hyper):
    path = tmp_path / "published.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": hyper, "pytorch-lightning_version": "1.8.6"}, path)
    return path


def frad(folder, **options):
    """Frad for MD17: Coord's layers, and options of its own."""
    own = {"md17": True, "seperate_noise": False, "bond_length_scale": 0.0, "mask_atom": False, "no_target_mean": False}
    return checkpoint(folder, **own, dataset="PCQM4MV2_Dihedral2", dihedral_angle_noise_scale=2.0, **options)


def mlp(prefix, *sizes):
    """A head of two linear maps."""
    weights = {}
    for layer, (size_in, size_out) in zip((0, 2), zip(sizes, sizes[1:], strict=False), strict=True):
        weights[f"{prefix}output_network.{layer}.weight"] = torch.randn(size_out, size_in)
        weights[f"{prefix}output_network.{layer}.bias"] = torch.randn(size_out)
    return weights


def statistics(prefix, size, total=None, squares=None, count=None):
    return {
        f"{prefix}acc_sum": torch.zeros(size) if total is None else total,
        f"{prefix}acc_squared_sum": torch.ones(size) if squares is None else squares,
        f"{prefix}acc_count": torch.ones(1) if count is None else count,
        f"{prefix}num_accumulations": torch.ones(1),
    }


def slide_extras(channels=16):
    """Return further contents of SliDe's files: heads of edges, projections, normalizers of internal coordinates."""
    extras = {}
    for number in range(1, 5):
        extras |= mlp(f"{NOISE}{number}.", 2 * channels, channels, 1)
    for kind in ("bond", "angle", "dihedral", "rotate_dihedral"):
        extras |= statistics(f"model.{kind}_pos_normalizer.", 1)
    extras |= statistics("model.reg_dev_normalizer.", 1)
    for name, size_in, size_out in (("angle_ijk_proj", 3, 2), ("dihedral_jk_proj", 2, 1)):
        extras[f"model.{name}.weight"] = torch.randn(size_out * channels, size_in * channels)
        extras[f"model.{name}.bias"] = torch.randn(size_out * channels)
    return extras


def slide(folder, **options):
    """SliDe on TorchMD-Net's equivariant transformer: the head of atoms is the first of a list."""
    state, hyper = frad(folder)
    state = {name.replace(NOISE, NOISE + "0."): tensor for name, tensor in state.items()} | slide_extras()
    own = {"dataset": "PCQM4MV2_Force", "bond_length_scale": 0.058, "use_edge_feat": True, "derivative_var": 1.0}
    return state, hyper | own | options


def check_published_numbers(imported, folder):
    tensors = load_file(folder / "coord_tiny.io.safetensors")
    z, pos, batch = (tensors[f"in.{name}"] for name in ("z", "pos", "batch"))
    atoms = imported.encoder(z, pos, batch)
    actual = {
        "rep.x": atoms.scalars,
        "rep.vec": atoms.vectors,
        "noise_pred": imported.noise_head(atoms),
        "pred": imported.property_head(atoms, Data(z=z, pos=pos, batch=batch)),
        "normalized_target": imported.position_normalizer(tensors["in.pos_target"]),
    }
    for name, tensor in actual.items():
        torch.testing.assert_close(tensor, tensors[f"out.{name}"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", [frad, slide])
def test_published_numbers(folder, tmp_path, layout):
    imported = load_reference(write(tmp_path, *layout(folder)))
    check_published_numbers(imported, folder)
    assert imported.force_head is None
    assert imported.force_normalizer is None
    assert not any(module.training for part in (imported.encoder, imported.noise_head) for module in part.modules())


def test_what_has_no_counterpart_is_handed_out_as_it_is(folder, tmp_path):
    state, hyper = slide(folder)
    masked = mlp("model.output_model_mask_atom.", 16, 16, 119)
    forces = {"model.dmean": torch.tensor(0.1), "model.dstd": torch.tensor(2.0)}
    imported = load_reference(write(tmp_path, state | masked | forces, hyper))
    expected = {name: tensor for name, tensor in state.items() if name in slide_extras()} | masked | forces
    assert set(imported.extras) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(imported.extras[name], tensor), name
    assert load_reference(folder / "coord_tiny.ckpt").extras == {}


def test_the_second_head_of_slide(folder, tmp_path):
    """Where it denoises coordinates as well, a head of its own predicts the gradient, on a scale of its own."""
    state, hyper = slide(folder, frad_guassian_scale=0.04)
    first = {name: tensor for name, tensor in state.items() if name.startswith(NOISE + "0.")}
    state |= {name.replace(NOISE + "0.", "model.output_model_ff."): -tensor for name, tensor in first.items()}
    moments = torch.tensor([0.4, -0.2, 0.0]), torch.tensor([4.0, 9.0, 16.0]), torch.tensor([4.0])
    state |= statistics("model.ff_normalizer.", 3, *moments)
    imported = load_reference(write(tmp_path, state, hyper))
    check_published_numbers(imported, folder)
    ours, theirs = imported.force_head.state_dict(), imported.noise_head.state_dict()
    assert all(torch.equal(ours[name], -theirs[name]) for name in theirs)
    mean = moments[0] / 4
    expected = (torch.ones(2, 3) - mean) / (moments[1] / 4 - mean**2).sqrt()
    torch.testing.assert_close(imported.force_normalizer(torch.ones(2, 3)), expected)


@pytest.mark.parametrize("position", [0, 3])
def test_the_head_of_atoms_is_found_wherever_it_stands(folder, tmp_path, position):
    state, hyper = frad(folder)
    state = {name.replace(NOISE, f"{NOISE}{position}."): tensor for name, tensor in state.items()}
    for number in {0, 1, 2, 3} - {position}:
        state |= mlp(f"{NOISE}{number}.", 32, 16, 1)
    check_published_numbers(load_reference(write(tmp_path, state, hyper)), folder)


def test_a_list_without_a_head_of_atoms(folder, tmp_path):
    state, hyper = frad(folder)
    state = {name: tensor for name, tensor in state.items() if not name.startswith(NOISE)}
    state |= mlp(f"{NOISE}0.", 32, 16, 1) | mlp(f"{NOISE}1.", 48, 16, 1)
    imported = load_reference(write(tmp_path, state, hyper))
    assert imported.noise_head is None
    assert len(imported.extras) == 8


@pytest.fixture
def normed(folder):
    """Frad for QM9: vectors are normed between layers with weights, scalars without."""
    drop = "use_dataset_md17", "spectra_model", "input_data_norm_type", "patch_len", "stride", "mask_ratios"
    state, hyper = checkpoint(folder, "molspectra_tiny", drop, md17=False, seperate_noise=False)
    state = {name: tensor for name, tensor in state.items() if "spec" not in name and "x_norms" not in name}
    assert any("vec_norms" in name for name in state)
    return state, hyper


def test_scalars_are_normed_between_layers_without_weights(normed, folder, tmp_path):
    encoder = load_reference(write(tmp_path, *normed)).encoder
    tensors = load_file(folder / "molspectra_tiny.io.safetensors")
    arguments = tensors["in.z"], tensors["in.pos"], tensors["in.batch"]
    atoms = encoder(*arguments)

    seen = []  # input and output of each norm, layer by layer
    for norm in encoder.scalar_norms:
        norm.register_forward_hook(lambda _, given, made: seen.append((*given, made)))
    encoder(*arguments)
    assert len(seen) == 2
    for given, made in seen:
        torch.testing.assert_close(made, functional.layer_norm(given, (16,)))

    # MolSpectra's layout, whose numbers are known, with weights that do nothing
    state, hyper = normed
    for layer in range(2):
        state[f"{ENCODER}x_norms.{layer}.weight"] = torch.ones(16)
        state[f"{ENCODER}x_norms.{layer}.bias"] = torch.zeros(16)
    same = load_reference(write(tmp_path, state, hyper | {"use_dataset_md17": False})).encoder(*arguments)
    assert torch.equal(atoms.scalars, same.scalars)
    assert torch.equal(atoms.vectors, same.vectors)


def test_norms_that_molspectra_lacks_are_missed(normed, tmp_path):
    state, hyper = normed
    path = write(tmp_path, state, hyper | {"use_dataset_md17": False})
    with pytest.raises(ValueError, match=r"(?s)\(4 keys.*missing: scalar_norms\.0\.weight"):
        load_reference(path)


def test_the_published_running_normaliser(folder, reference, tmp_path):
    """Sums over three batches, as Frad's file stores them, give its numbers in evaluation."""
    numbers = np.load(reference / "frad" / "normalizer.npz")
    targets = torch.cat([torch.from_numpy(numbers[f"batch{index}.target"]) for index in range(3)])
    state, hyper = frad(folder)
    count = torch.tensor([float(len(targets))])
    state |= statistics(NORMALIZER, 3, targets.sum(0), targets.square().sum(0), count)
    normalizer = load_reference(write(tmp_path, state, hyper)).position_normalizer
    actual = normalizer(torch.from_numpy(numbers["batch0.target"]))
    torch.testing.assert_close(actual, torch.from_numpy(numbers["eval.batch0.normalized"]), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("model", ["equivariant-transformerf2d", "equivariant-transformerf2d_org"])
def test_the_other_encoder_of_slide_has_other_weights(folder, tmp_path, model):
    state, hyper = slide(folder, model=model)
    with pytest.raises(ValueError, match=r"(?s)missing: edge_basis\.frequencies.*missing: edge_updates\.0\."):
        load_reference(write(tmp_path, state, hyper))


def test_an_unknown_model_is_refused_by_name(folder, tmp_path):
    with pytest.raises(ValueError, match=r"model='graph-network'; only 'equivariant-transformer' or .*f2d"):
        load_reference(write(tmp_path, *frad(folder, model="graph-network")))


def drop(name):
    return lambda state: state.pop(name)


REFUSED = {
    "weights of the other encoder": (
        lambda state: state.update({f"{ENCODER}init_e.lin.weight": torch.zeros(16, 48)}),
        r"unexpected: init_e\.lin\.weight \(16, 48\)",
    ),
    "an unknown part": (
        lambda state: state.update({"model.bond_head.weight": torch.zeros(2)}),
        r"unexpected: model\.bond_head\.weight",
    ),
    "two heads of atoms": (
        lambda state: state.update({f"{NOISE}7.output_network.0.vec1_proj.weight": torch.zeros(8, 16)}),
        r"several vector heads: model\.output_model_noise\.0\., model\.output_model_noise\.7\.",
    ),
    "a head with a weight missing": (
        drop(f"{NOISE}0.output_network.0.vec1_proj.weight"),
        r"model\.output_model_noise\.0\. missing: blocks\.0\.norm_proj\.weight",
    ),
    "statistics of another size": (
        lambda state: state.update(statistics("model.ff_normalizer.", 1)),
        r"model\.ff_normalizer\.acc_sum is \(1,\), expected \(3,\)",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_and_listed(folder, tmp_path, change, message):
    state, hyper = slide(folder)
    change(state)
    with pytest.raises(ValueError, match=message):
        load_reference(write(tmp_path, state, hyper))


def test_a_norm_for_the_noise_head_alone(folder, tmp_path):
    """After fine-tuning on forces, the energy head reads vectors as they are."""
    both = load_reference(write(tmp_path, *frad(folder)))
    state, hyper = frad(folder)
    alone = load_reference(write(tmp_path, state, hyper | {"seperate_noise": True}))
    assert isinstance(alone.encoder.out_vector_norm, torch.nn.Identity)
    tensors = load_file(folder / "coord_tiny.io.safetensors")
    z, pos, batch = (tensors[f"in.{name}"] for name in ("z", "pos", "batch"))
    atoms = alone.encoder(z, pos, batch)
    normed = both.encoder(z, pos, batch)
    torch.testing.assert_close(alone.noise_head.vector_norm(atoms.vectors), normed.vectors)
    torch.testing.assert_close(alone.noise_head(atoms), both.noise_head(normed))
