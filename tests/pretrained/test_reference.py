"""Import of published checkpoints: the numbers of the published implementations, and nothing silent."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from molspectra.objectives import DenoisingLoss, InfoNCELoss, MaskedPatchLoss
from molspectra.pretrained import load_reference
from molspectra.pretrained.reference.lightning import import_lightning
from molspectra.spectra import mask_largest

KINDS = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}


@pytest.fixture(scope="module")
def folder(reference):
    return reference / "lightning_ckpt"


def check(reference, inputs, outputs, atol, rtol):
    """Everything that a file's model computes, against `outputs` (by name; those that are there)."""
    compared = set()

    def compare(name, actual):
        if name in outputs:
            torch.testing.assert_close(actual, outputs[name], atol=atol, rtol=rtol, msg=lambda m: f"{name}: {m}")
            compared.add(name)

    z, batch = inputs["z"], inputs["batch"]
    dtype = next(reference.encoder.parameters()).dtype
    pos, target = inputs["pos"].to(dtype), inputs["pos_target"].to(dtype)
    atoms = reference.encoder(z, pos, batch)
    compare("rep.x", atoms.scalars)
    compare("x", atoms.scalars)
    compare("rep.vec", atoms.vectors)
    compare("vec", atoms.vectors)
    noise = reference.noise_head(atoms)
    compare("noise_pred", noise)
    compare("pred", reference.property_head(atoms, Data(z=z, pos=pos, batch=batch)))
    normalized = reference.position_normalizer(target)
    compare("normalized_target", normalized)
    denoising = DenoisingLoss(normalize=False)(noise, normalized)
    compare("loss_denoise", denoising)
    total = denoising
    if reference.specformer is not None:
        spectra = {kind: inputs[name].to(dtype) for kind, name in KINDS.items()}
        masked = {kind: mask_largest(inputs[f"mask_noise.{name}"], 0.1) for kind, name in KINDS.items()}
        features = reference.specformer(spectra, masked)
        molecules = atoms.pool(batch)
        compare("mol_feature", molecules)
        compare("spec_feature", features.embedding)
        reconstructed = reference.reconstruction_head(reference.specformer.split(features.tokens))
        reconstruction = MaskedPatchLoss()(reconstructed, reference.specformer.patches(spectra), masked)
        contrast = InfoNCELoss(as_released=True)(molecules, features.embedding)
        compare("loss_reconstruct", reconstruction)
        compare("loss_contrastive", contrast)
        total = denoising + reconstruction + contrast
    compare("loss_total_val", total)
    assert compared == set(outputs)


@pytest.mark.parametrize("variant", ["", ".class_keyed_callbacks"])
@pytest.mark.parametrize("name", ["molspectra_tiny", "coord_tiny"])
def test_tiny_checkpoints(folder, name, variant):
    reference = load_reference(folder / f"{name}{variant}.ckpt")
    tensors = load_file(folder / f"{name}.io.safetensors")
    inputs = {key.removeprefix("in."): value for key, value in tensors.items() if key.startswith("in.")}
    outputs = {key.removeprefix("out."): value for key, value in tensors.items() if key.startswith("out.")}
    check(reference, inputs, outputs, atol=1e-4, rtol=1e-4)
    assert (reference.specformer is None) == (name == "coord_tiny")
    assert not reference.encoder.training
    assert reference.hyper_parameters["position_noise_scale"] == 0.04


def formula(shapes: dict[str, list[int]], kept: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The closed-form weights that stand in for the full-size checkpoints (config.json, `rule`)."""
    state = {}
    for rank, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        if name.startswith("model.pos_normalizer."):
            values = {
                "acc_sum": [0.3, -0.2, 0.1],
                "acc_squared_sum": [16, 18, 15],
                "acc_count": [10000],
                "num_accumulations": [80],
            }
            state[name] = torch.tensor(values[name.rpartition(".")[2]], dtype=torch.float32)
        elif name in kept:
            state[name] = kept[name]
        elif name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(5)
        else:
            j = torch.arange(int(torch.tensor(shape).prod()) if shape else 1, dtype=torch.float64)
            t = 43758.5453 * torch.sin(12.9898 * (j + 1) + 78.233 * (rank + 1))
            s = (2 * (t - t.floor()) - 1).reshape(shape)
            if name.endswith("running_mean"):
                s = 0.2 * s
            elif name.endswith("running_var"):
                s = 1 + 0.5 * s
            elif len(shape) >= 2:
                s = s * 1.7 / shape[-1] ** 0.5
            else:
                s = 1 + 0.2 * s if name.endswith(".weight") else 0.2 * s
            state[name] = s.float()
    return state


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["qm9_setting", "md17_setting"])
def test_full_size(folder, setting):
    """Both published sizes of MolSpectra, float32 and float64."""
    layout = json.loads((folder / "published_layout_manifest.json").read_text())[f"molspectra_pretrain_{setting}"]
    expected_config = json.loads((folder / "full_size_formula" / "config.json").read_text())[setting]
    # The rule keeps the constructor's values of the constants of the radial basis and the softmax, and of mean and std.
    num_rbf = layout["hyper_parameters"]["num_rbf"]
    cutoff = torch.tensor(-5.0).exp()
    kept = {
        "model.representation_model.distance_expansion.means": torch.linspace(cutoff.item(), 1, num_rbf),
        "model.representation_model.distance_expansion.betas": ((2 / num_rbf * (1 - cutoff)) ** -2).repeat(num_rbf),
        "model.mean": torch.tensor(0.0),
        "model.std": torch.tensor(1.0),
    }
    kept |= {name: torch.tensor(8**-0.5) for name in layout["shapes"] if name.endswith("sdp_attn.scale")}
    state = formula(layout["shapes"], kept)
    total = sum(tensor.double().sum().item() for tensor in state.values() if tensor.is_floating_point())
    assert total == pytest.approx(expected_config["checksum"]["sum_of_all_float_values_f64"], rel=1e-9)

    checkpoint = {"state_dict": state, "hyper_parameters": layout["hyper_parameters"]}
    tensors = load_file(folder / "full_size_formula" / "io.safetensors")
    inputs = {key.removeprefix("in."): value for key, value in tensors.items() if key.startswith("in.")}
    # A few of the formula's values round to float32 differently with another sine: 1e-6, not 1e-9, in float64.
    for dtype, tag, atol, rtol in ((torch.float32, "f32", 2e-4, 1e-4), (torch.float64, "f64", 1e-6, 1e-6)):
        prefix = f"{setting}.{tag}."
        outputs = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        reference = import_lightning(checkpoint, setting)
        for part in (reference.encoder, reference.specformer, reference.noise_head, reference.property_head):
            part.to(dtype)
        reference.reconstruction_head.to(dtype)
        check(reference, inputs, outputs, atol, rtol)


def changed(folder, tmp_path, change, name="molspectra_tiny"):
    checkpoint = torch.load(folder / f"{name}.ckpt", weights_only=True)
    change(checkpoint)
    path = tmp_path / "changed.ckpt"
    torch.save(checkpoint, path)
    return path


PREFIX = "model.representation_model."


def drop(*names):
    return lambda checkpoint: [checkpoint["state_dict"].pop(name) for name in names]


def put(**tensors):
    return lambda checkpoint: checkpoint["state_dict"].update({name: tensor for name, tensor in tensors.items()})


SPECTRA = "model.representation_spec_model."
NOISE = "model.output_model_noise."
NORMALIZER = "model.pos_normalizer."
MISFITS = {
    "missing": (drop(PREFIX + "out_norm.bias"), r"model\.representation_model\. missing: out_norm\.bias \(16,\)"),
    "unexpected": (put(**{"model.extra": torch.zeros(3)}), r"unexpected: model\.extra \(3,\)"),
    "mis-shaped": (
        put(**{PREFIX + "attention_layers.1.q_proj.bias": torch.zeros(5)}),
        r"mis-shaped: layers\.1\.q_proj\.bias is \(5,\), expected \(16,\)",
    ),
    "no embedding": (drop(PREFIX + "embedding.weight"), r"missing: model\.representation_model\.embedding\.weight"),
    "no positions": (drop(SPECTRA + "backbone.W_pos_ir"), r"missing: .*backbone\.W_pos_ir"),
    "no spectrum head": (drop(SPECTRA + "head.linear.weight"), r"missing: .*head\.linear\.weight"),
    "no count": (drop(NORMALIZER + "acc_count"), r"missing: model\.pos_normalizer\.acc_count"),
    "odd statistics": (put(**{NORMALIZER + "acc_sum": torch.zeros(1)}), r"acc_sum is \(1,\), expected \(3,\)"),
    "strange statistics": (put(**{NORMALIZER + "other": torch.zeros(1)}), r"unexpected: model\.pos_normalizer\.other"),
    "different scales": (
        put(**{SPECTRA + "backbone.encoder.layers.0.self_attn.sdp_attn.scale": torch.tensor(0.1)}),
        "must share one sdp_attn.scale",
    ),
    "several": (
        drop(
            PREFIX + "out_norm.bias",
            "model.output_model_noise.output_network.0.vec1_proj.weight",
            SPECTRA + "out_norm.bias",
        ),
        r"(?s)do not fit \(3 keys.*representation_model.*output_model_noise.*spec_model",
    ),
    "activation": (lambda c: c["hyper_parameters"].update(activation="tanh"), "activation='tanh'; only 'silu'"),
    "lower cutoff": (lambda c: c["hyper_parameters"].update(cutoff_lower=1.0), "cutoff_lower=1.0"),
    "reduction": (lambda c: c["hyper_parameters"].update(reduce_op="max"), "reduce_op='max'; only 'add' or 'mean'"),
    "no number of heads": (lambda c: c["hyper_parameters"].pop("num_heads"), "lacks the hyper-parameter 'num_heads'"),
    "no hyper-parameters": (lambda c: c.pop("hyper_parameters"), "no Lightning checkpoint"),
}


@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused_and_listed(folder, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_reference(changed(folder, tmp_path, change))


def test_a_file_of_another_kind_is_named(tmp_path):
    path = tmp_path / "notes.ckpt"
    path.write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"notes\.ckpt cannot be read as a PyTorch checkpoint"):
        load_reference(path)


class Malicious:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_nothing_in_the_file_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": Malicious()}, path, pickle_module=pickle)
    with pytest.raises(ValueError, match=r"would have to run .*print.* not safe"):
        load_reference(path)
    assert "never" not in capsys.readouterr().out


def test_no_such_file():
    with pytest.raises(FileNotFoundError, match="No checkpoint at nowhere"):
        load_reference("nowhere.ckpt")
