"""Import of the published 3D-EMGP: its numbers, and nothing silent."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch_geometric.data import Data

from molspectra import pretrained
from molspectra.encoders.egnn.model import EGNN
from molspectra.pretrained import load_reference
from molspectra.testing import assert_features_close

TOLERANCES = {"f32": (torch.float32, 1e-4), "f64": (torch.float64, 1e-9)}


@pytest.fixture(scope="module")
def published(reference):
    """The tensors of the published checkpoint."""
    return load_file(reference / "emgp" / "checkpoint-3dmgp.safetensors")


@pytest.fixture(params=["safetensors", "torch.save"])
def imported(request, reference, published, tmp_path):
    path = reference / "emgp" / "checkpoint-3dmgp.safetensors"
    if request.param == "torch.save":
        path = tmp_path / "checkpoint_3dmgp"
        torch.save({"model": published}, path)
    return load_reference(path)


@pytest.mark.parametrize("tag", TOLERANCES)
def test_published_numbers(imported, load_fixture, tag):
    dtype, tolerance = TOLERANCES[tag]
    inputs, outputs, noisy = (load_fixture(f"emgp/{name}.safetensors") for name in ("inputs", "outputs", "perturb"))
    positions = {"original": inputs["pos"], "perturbed": noisy["f32.riemann.steps1.pos_perturbed"]}
    z, batch = inputs["z"], inputs["batch"]
    encoder, head, level_head = (
        part.to(dtype) for part in (imported.encoder, imported.energy_head, imported.noise_scale_head)
    )
    actual, graphs = {}, []
    for name, pos in positions.items():
        pos = pos.to(dtype).requires_grad_()
        atoms, moved = encoder.move(z, pos, batch, bond_index=inputs["bond_index"])
        energy = head(atoms, Data(batch=batch))
        (gradient,) = torch.autograd.grad(energy.sum(), pos)
        graphs.append(head.pool(atoms, Data(batch=batch)))
        results = {
            "node_rep_encoder": atoms.scalars,
            "node_rep_decoded": head.pool.mlp(atoms.scalars),
            "graph_rep": graphs[-1],
            "energy": energy,
            "minus_dE_dx": -gradient,
            "pos_last": moved,
        }
        actual |= {f"{name}.{key}": tensor for key, tensor in results.items()}
    actual["inp_logits"] = level_head(*graphs)
    expected = {key.removeprefix(f"{tag}."): value for key, value in outputs.items() if key.startswith(f"{tag}.")}
    assert set(actual) == {key for key in expected if not key.startswith("forward.")}
    for key, tensor in actual.items():
        assert tensor.dtype == dtype
        error = (tensor - expected[key]).abs().max() / expected[key].abs().max()
        assert error < tolerance, f"{key}: {error:.1e}"


def test_what_the_file_holds(imported, load_fixture):
    torch.testing.assert_close(imported.noise_scales, load_fixture("emgp/inputs.safetensors")["sigmas"])
    assert imported.noise_scales[0] > imported.noise_scales[-1]
    assert imported.encoder.config == {
        "hidden_channels": 128,
        "num_layers": 7,
        "cutoff": None,
        "max_hops": 3,
        "coordinates": "last",
        "attention": True,
        "layer_norm": False,
        "max_z": 99,
        "as_released": True,
    }
    parts = imported.encoder, imported.energy_head, imported.noise_scale_head
    assert not any(module.training for part in parts for module in part.modules())
    values = sum(p.numel() for part in parts for p in part.parameters())
    assert values == 941_114
    others = (imported.noise_head, imported.property_head, imported.position_normalizer, imported.specformer)
    assert others == (None,) * 4
    assert imported.reconstruction_head is None


def test_published_weights_give_vectors(imported, load_fixture):
    inputs = load_fixture("emgp/inputs.safetensors")
    atoms = imported.encoder(inputs["z"], inputs["pos"], inputs["batch"], bond_index=inputs["bond_index"])
    assert atoms.vectors.shape == (48, 3, 128)
    assert (atoms.vectors.abs().amax(dim=(1, 2)) > 1e-2).all()


def test_round_trip(imported, load_fixture, tmp_path):
    pretrained.save(imported.encoder, tmp_path / "encoder")
    encoder = pretrained.load(tmp_path / "encoder", classes=[EGNN])
    inputs = load_fixture("emgp/inputs.safetensors")
    arguments = inputs["z"], inputs["pos"], inputs["batch"]
    before, after = (e(*arguments, bond_index=inputs["bond_index"]) for e in (imported.encoder, encoder))
    assert_features_close(after, before, 0.0, "features after a round trip")


def with_norms(state):
    """The same tensors, in a layout that has layer norms, but no attention and no types of edges."""
    state = {name: tensor for name, tensor in state.items() if ".att_mlp." not in name}
    for layer in range(7):
        name = f"module.model.gcl_{layer}.edge_mlp.0.weight"
        state[name] = state[name][:, :257].contiguous()
        for norm in ("node_ln", "edge_ln"):
            state |= {f"module.model.gcl_{layer}.{norm}.{part}": torch.ones(128) for part in ("weight", "bias")}
    return state | {f"module.model.final_ln.{part}": torch.ones(128) for part in ("weight", "bias")}


def test_options_are_read_off_the_names(published, tmp_path):
    save_file(with_norms(published), tmp_path / "norms.safetensors")
    config = load_reference(tmp_path / "norms.safetensors").encoder.config
    assert (config["layer_norm"], config["attention"], config["max_hops"]) == (True, False, 0)


def changed(state, drop=(), **put):
    state = {name: tensor for name, tensor in state.items() if name not in drop}
    return state | {name.replace("__", "."): tensor for name, tensor in put.items()}


MISFITS = {
    "missing in the encoder": (
        {"drop": ["module.model.gcl_3.att_mlp.0.bias"]},
        r"\(1 keys.*module\.model\. missing: layers\.3\.attention\.0\.bias \(1,\)",
    ),
    "missing in a head": (
        {"drop": ["module.node_dec.2.bias", "module.graph_dec.0.weight"]},
        r"(?s)\(2 keys.*node_dec\. missing: 2\.bias \(128,\).*graph_dec\. missing: 0\.weight \(128, 128\)",
    ),
    "no layer 3": (
        {"drop": [f"module.model.gcl_3.node_mlp.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")]},
        r"\(4 keys.*",
    ),
    "no levels": ({"drop": ["module.sigmas"]}, r"missing: module\.sigmas"),
    "no embedding": ({"drop": ["module.model.embedding_in.weight"]}, r"missing: module\.model\.embedding_in\.weight"),
    "no noise head": ({"drop": ["module.noise_pred.2.bias"]}, r"missing: module\.noise_pred\.2\.bias"),
    "unexpected": ({"module__extra": torch.zeros(3)}, r"unexpected: module\.extra \(3,\)"),
    "without the prefix": ({"epoch": torch.zeros(1)}, r"unexpected: epoch \(1,\)"),
    "unexpected in the encoder": (
        {"module__model__gcl_2__gate__weight": torch.zeros(4)},
        r"unexpected: layers\.2\.gate\.weight \(4,\)",
    ),
    "mis-shaped": (
        {"module__model__gcl_5__node_mlp__2__bias": torch.zeros(7)},
        r"mis-shaped: layers\.5\.node_mlp\.2\.bias is \(7,\), expected \(128,\)",
    ),
    "mis-shaped levels": ({"module__sigmas": torch.zeros(49)}, r"module\.sigmas is \(49,\), expected \(50,\)"),
    "mis-shaped embedding": (
        {"module__model__embedding_in__weight": torch.zeros(128)},
        r"mis-shaped: module\.model\.embedding_in\.weight is \(128,\), expected 2 dimensions",
    ),
    "odd number of element features": (
        {"module__model__embedding_in__weight": torch.zeros(128, 301)},
        r"mis-shaped: embedding\.linear\.weight is \(128, 301\), expected \(128, 300\)",
    ),
}


@pytest.mark.parametrize("form", ["safetensors", "torch.save"])
@pytest.mark.parametrize(("change", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_refused_and_listed(published, tmp_path, change, message, form):
    state = changed(published, **change)
    if form == "safetensors":
        path = tmp_path / "changed.safetensors"
        save_file(state, path)
    else:
        path = tmp_path / "changed"
        torch.save({"model": state}, path)
    with pytest.raises(ValueError, match=message.replace(".*", "[\\s\\S]*")):
        load_reference(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"encoder.weight": torch.zeros(2)}}, "its 1 keys are model"),
        ({"model": {"module.sigmas": torch.zeros(50), "epoch": 3}}, "its 1 keys are model"),
        ({"model": torch.zeros(2), "epoch": 3}, "its 2 keys are epoch, model"),
        ({}, "its 0 keys are"),
        (torch.zeros(3), "holds a Tensor; expected a dict"),
    ],
    ids=["other names", "other values", "no state dict", "nothing", "a tensor"],
)
def test_checkpoints_of_another_kind_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other")
    with pytest.raises(ValueError, match=message):
        load_reference(tmp_path / "other")


def test_tensors_of_another_model_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({f"layer{number:02}": torch.zeros(2) for number in range(30)}, path)
    with pytest.raises(ValueError, match=r"its 30 keys are layer00, .*layer19, …"):
        load_reference(path)


def test_a_damaged_file_is_refused(published, tmp_path):
    path = tmp_path / "cut.safetensors"
    save_file(published, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.safetensors cannot be read as safetensors"):
        load_reference(path)
