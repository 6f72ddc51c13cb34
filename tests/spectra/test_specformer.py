"""SpecFormer: parity with the published implementation and with explicit attention; missing spectra; masks; errors."""

import inspect
import json
from functools import partial

import pytest
import torch
from safetensors.torch import load_file

from molspectra._validation import check_spectra
from molspectra.data import IdentityScaling, LogScaling, MinMaxScaling
from molspectra.objectives import MaskedPatchLoss
from molspectra.pretrained.reference.keymaps import KINDS, RECONSTRUCTION, SPECFORMER, rename
from molspectra.spectra import PatchDecoder, PatchMask, SpecFormer, specformer
from molspectra.spectra.score_history import ScoreHistory
from tests.oracles.residual_attention import ExplicitScores
from tests.oracles.specformer import explicit_specformer

pytestmark = pytest.mark.usefixtures("float32_weights")

RELEASED_NAMES = dict(zip(KINDS, ("uv", "ir", "raman"), strict=True))


class Published:
    """Weights, inputs and outputs of the published SpecFormer."""

    def __init__(self, folder):
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "state_dict.safetensors")
        self.head_state = {key: tensor for key, tensor in state.items() if key.startswith("reconstruct_heads")}
        self.state = {
            key: tensor
            for key, tensor in state.items()
            if key not in self.head_state and not key.endswith("attn.scale")
        }
        inputs = load_file(folder / "inputs.safetensors")
        self.spectra = {kind: inputs[f"spectrum.{name}"] for kind, name in RELEASED_NAMES.items()}
        self.masked = {kind: inputs[f"mask.{name}"] for kind, name in RELEASED_NAMES.items()}
        self.draws = {kind: inputs[f"noise.{name}"] for kind, name in RELEASED_NAMES.items()}

    def specformer(self, scaling=None):
        config = self.config
        module = SpecFormer(
            *(dict(zip(KINDS, config[key], strict=True)) for key in ("lengths", "patch_len", "stride")),
            config["d_model"],
            config["n_layers"],
            config["n_heads"],
            config["output_dim"],
            feedforward_channels=config["d_ff"],
            scaling=scaling,
        )
        module.load_state_dict(rename(self.state, SPECFORMER))
        return module

    def head(self):
        head = PatchDecoder(self.config["d_model"], dict(zip(KINDS, self.config["patch_len"], strict=True)))
        head.load_state_dict(rename(self.head_state, RECONSTRUCTION))
        return head

    def outputs(self, name):
        outputs = load_file(self.folder / f"{name}.safetensors")
        if name.startswith("out_train") and "tokens" not in outputs:
            # The input of the encoder does not depend on the mode: these numbers are stored once.
            outputs["tokens"] = self.outputs(name.replace("train", "eval"))["tokens"]
        return outputs


@pytest.fixture(scope="module", params=["released", "paper"])
def published(request, reference):
    folder = reference / "specformer"
    return Published(folder if request.param == "released" else folder / "paper_variant")


@pytest.fixture(scope="module")
def released(reference):
    return Published(reference / "specformer")


def close(actual, expected, atol, rtol=0.0):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol)


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "nomask"])
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_published_numbers(published, train, masked):
    module, head = published.specformer().train(train), published.head()
    expected = published.outputs(f"out_{'train' if train else 'eval'}_{'masked' if masked else 'nomask'}")
    masks = published.masked if masked else None
    tokens, valid = module.tokenize(published.spectra, masks)
    assert valid.all()
    close(tokens, expected["tokens"], 1e-5)
    features = module(published.spectra, masks)
    close(features.embedding, expected["rep"], 1e-4)
    # Values reach 25 in evaluation, where the fixture's running statistics do not fit its weights.
    close(features.tokens, expected["z"], 1e-4, rtol=1e-5)
    reconstructed = head(module.split(features.tokens))
    for kind, name in RELEASED_NAMES.items():
        close(reconstructed[kind], expected[f"recon.{name}"], 1e-4, rtol=1e-5)
    if masked:
        target = module.patches(published.spectra)
        for kind, name in RELEASED_NAMES.items():
            loss = MaskedPatchLoss()(reconstructed, target, {kind: masks[kind]})
            close(loss, expected[f"loss.{name}"], 0, rtol=1e-5)
            if not train:
                close(target[kind], expected[f"target.{name}"], 1e-6)
        close(MaskedPatchLoss()(reconstructed, target, masks), expected["loss"], 0, rtol=1e-5)
    buffers = dict(module.named_buffers())
    after = {key.removeprefix("bn_after."): value for key, value in expected.items() if key.startswith("bn_after.")}
    assert bool(after) == (train and masked)
    for name, value in rename(after, SPECFORMER).items():
        close(buffers[name], value, 1e-6, rtol=1e-5)


def test_published_numbers_in_float64(published):
    module, head = published.specformer().double().eval(), published.head().double()
    expected = published.outputs("out_eval_masked")
    spectra = {kind: spectrum.double() for kind, spectrum in published.spectra.items()}
    features = module(spectra, published.masked)
    close(features.embedding, expected["f64.rep"], 1e-9)
    close(features.tokens, expected["f64.z"], 1e-9)
    loss = MaskedPatchLoss()(head(module.split(features.tokens)), module.patches(spectra), published.masked)
    close(loss, expected["f64.loss"], 1e-9)


def test_published_gradients(released):
    module, head = released.specformer().train(), released.head()
    features = module(released.spectra, released.masked)
    reconstructed = head(module.split(features.tokens))
    loss = MaskedPatchLoss()(reconstructed, module.patches(released.spectra), released.masked)
    weights = torch.arange(1, released.config["output_dim"] + 1)
    (features.embedding.square().sum() + (weights * features.embedding).sum() + loss).backward()
    expected = released.outputs("grads_train_masked")
    own = dict(module.named_parameters())
    compared = 0
    for name, grad in rename(expected, SPECFORMER).items():
        if name in own:
            close(own.pop(name).grad, grad, 2e-5 * max(1.0, float(grad.abs().max())))
            compared += 1
    for name, grad in rename({k: v for k, v in expected.items() if "reconstruct" in k}, RECONSTRUCTION).items():
        close(dict(head.named_parameters())[name].grad, grad, 1e-5)
        compared += 1
    assert not own
    assert compared == len(expected)


def test_published_attention(released):
    features = released.specformer().eval()(released.spectra, released.masked, return_attention=True)
    expected = released.outputs("attn_eval_masked")
    for layer, attention in enumerate(features.attention):
        close(attention[0, :, ::8], expected[f"attn.layer{layer}.sample0.rows_every8"], 2e-5)
    last = released.config["n_layers"] - 1
    close(features.attention[-1][0, 0], expected[f"attn.layer{last}.sample0.head0.full"], 2e-5)


@pytest.mark.parametrize("name", ["minmax", "log", "log10", "none"])
def test_published_scalings(released, name):
    ranges = released.config["minmax"]
    scaling = {
        "minmax": {k: MinMaxScaling(ranges["min"][i], ranges["max"][i], ranges["eps"]) for i, k in enumerate(KINDS)},
        "log": LogScaling(),
        "log10": None,
        "none": IdentityScaling(),
    }[name]
    module, head = released.specformer(scaling).eval(), released.head()
    expected = released.outputs("norm_variants_eval_masked")
    features = module(released.spectra, released.masked)
    close(features.embedding, expected[f"{name}.rep"], 1e-4)
    loss = MaskedPatchLoss()(head(module.split(features.tokens)), module.patches(released.spectra), released.masked)
    close(loss, expected[f"{name}.loss"], 0, rtol=1e-5)


def test_the_released_draws_give_the_released_masks(published):
    from molspectra.spectra import mask_largest

    for kind, draws in published.draws.items():
        mask = mask_largest(draws, 0.1)
        assert torch.equal(mask, published.masked[kind])
        assert mask.sum(1).tolist() == [published.config["n_masked"][KINDS.index(kind)]] * len(mask)


def small(**arguments) -> SpecFormer:
    torch.manual_seed(0)
    defaults = {"hidden_channels": 16, "num_layers": 3, "num_heads": 4, "out_channels": 8}
    return SpecFormer({"ir": 120, "nmr": 45}, {"ir": 20, "nmr": 9}, {"ir": 10, "nmr": 9}, **(defaults | arguments))


def some_spectra(batch_size=5, dtype=torch.float32):
    return {"ir": torch.rand(batch_size, 120, dtype=dtype), "nmr": torch.rand(batch_size, 45, dtype=dtype)}


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("heads", [1, 4, 16])
@pytest.mark.parametrize("as_mask", [True, False])
def test_fused_attention_equals_the_explicit_one(monkeypatch, missing, heads, as_mask):
    """Values and gradients, also where tokens are absent, by a mask or a channel, whatever the padding of the width."""
    module, spectra = small(num_heads=heads), some_spectra()
    if missing:
        spectra["ir"][1] = torch.nan
    weights, out_weights = torch.randn(5, sum(module.num_patches.values()), 16), torch.randn(5, 8)
    results = []
    for history in (partial(ScoreHistory, as_mask=as_mask), ExplicitScores):
        monkeypatch.setattr(specformer, "ScoreHistory", history)
        module.zero_grad()
        features = module(spectra, return_attention=True)
        ((features.embedding * out_weights).sum() + (features.tokens * weights)[features.valid].mean()).backward()
        results.append((features, [p.grad.clone() for p in module.parameters()]))
    (fused, fused_grads), (explicit, explicit_grads) = results
    close(fused.embedding, explicit.embedding, 1e-5)
    close(fused.tokens[fused.valid], explicit.tokens[fused.valid], 1e-5)
    for one, other in zip(fused.attention, explicit.attention, strict=True):
        close(one[1, :, fused.valid[1]], other[1, :, fused.valid[1]], 1e-5)
        close(one.sum(-1), torch.ones_like(one.sum(-1)), 1e-5)
    # Some gradients are sums that cancel (a bias before a batch norm), so the largest one sets the scale for all.
    largest = max(float(grad.abs().max()) for grad in explicit_grads)
    for one, other in zip(fused_grads, explicit_grads, strict=True):
        close(one, other, 1e-5 * max(1.0, largest))


def test_equals_its_equations_written_out():
    module = small(num_heads=4).double()
    spectra = some_spectra(dtype=torch.float64)
    weights = torch.randn(5, 8, dtype=torch.float64)
    grads = []
    features, (tokens, embedding) = module(spectra), explicit_specformer(module, spectra)
    close(features.tokens, tokens, 1e-10)
    for one in (features.embedding, embedding):
        close(one, embedding, 1e-10)
        grads.append(torch.autograd.grad((one * weights).sum(), list(module.parameters())))
    for one, other in zip(*grads, strict=True):
        close(one, other, 1e-10)


@pytest.mark.parametrize("pool", ["flatten", "mean"])
@pytest.mark.parametrize("train", [True, False])
def test_a_missing_spectrum_never_influences_the_result(pool, train):
    """Dropping the missing spectrum's tokens altogether gives the same, in outputs, statistics and gradients."""
    spectra = some_spectra(dtype=torch.float64)
    module = small(pool=pool).double().train(train)
    missing = {"ir": spectra["ir"], "nmr": torch.full_like(spectra["nmr"], torch.nan)}
    absent = {"ir": spectra["ir"]}
    only_ir = SpecFormer({"ir": 120}, 20, 10, 16, 3, 4, 8, pool=pool).double().train(train)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    num_ir = module.num_patches["ir"] * 16
    ir_state = {name: tensor for name, tensor in state.items() if "nmr" not in name}
    if pool == "flatten":
        ir_state["out_proj.weight"] = state["out_proj.weight"][:, :num_ir]
    only_ir.load_state_dict(ir_state)

    expected = only_ir(absent)
    expected.embedding.square().sum().backward()
    for spectra_without in (missing, absent):
        module.zero_grad()
        module.load_state_dict(state)
        features = module(spectra_without)
        close(features.embedding, expected.embedding, 1e-12)
        close(features.tokens[:, : module.num_patches["ir"]], expected.tokens, 1e-12)
        assert features.valid.sum() == 5 * module.num_patches["ir"]
        features.embedding.square().sum().backward()
        grads = {name: p.grad for name, p in module.named_parameters()}
        for name, parameter in only_ir.named_parameters():
            if name != "out_proj.weight":
                close(grads[name], parameter.grad, 1e-10)
        assert all(g is None or (g.isfinite().all() and not g.any()) for n, g in grads.items() if "nmr" in n)
        for name, buffer in only_ir.named_buffers():
            close(dict(module.named_buffers())[name], buffer, 1e-12)


def test_missing_in_one_sample_leaves_the_others_alone_in_evaluation():
    module, spectra = small().eval(), some_spectra()
    complete = module(spectra).embedding
    spectra["nmr"][2] = torch.nan
    embedding = module(spectra).embedding
    others = torch.arange(5) != 2
    close(embedding[others], complete[others], 1e-6)
    assert (embedding[2] - complete[2]).abs().max() > 1e-3
    close(embedding[2:3], module({"ir": spectra["ir"][2:3]}).embedding, 1e-6)


@pytest.mark.parametrize("train", [True, False])
def test_a_sample_without_any_spectrum_is_finite_and_constant(train):
    module, spectra = small().train(train), some_spectra()
    for spectrum in spectra.values():
        spectrum[[0, 3]] = torch.nan
    features = module(spectra)
    assert features.valid.any(dim=1).tolist() == [False, True, True, False, True]
    close(features.embedding[0], features.embedding[3], 0)
    close(features.embedding[0], module.out_norm(module.out_proj.bias), 1e-6)
    features.embedding.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())
    everything_missing = module({kind: torch.full_like(s, torch.nan) for kind, s in spectra.items()})
    assert everything_missing.embedding.isfinite().all()
    assert all(buffer.isfinite().all() for buffer in module.buffers())


def test_the_embedding_is_deterministic():
    module, spectra = small().eval(), some_spectra()
    assert torch.equal(module(spectra).embedding, module(spectra).embedding)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_order_of_samples_does_not_matter(norm):
    module, spectra = small(norm=norm).double().train(), some_spectra(dtype=torch.float64)
    order = torch.tensor([3, 1, 4, 0, 2])
    permuted = module({kind: spectrum[order] for kind, spectrum in spectra.items()}).embedding
    close(permuted, module(spectra).embedding[order], 1e-12)


def test_batched_equals_one_by_one_in_evaluation():
    module, spectra = small().double().eval(), some_spectra(dtype=torch.float64)
    together = module(spectra).embedding
    for i in range(5):
        close(
            module({kind: spectrum[i : i + 1] for kind, spectrum in spectra.items()}).embedding[0], together[i], 1e-12
        )


def test_interval_masks_leak_nothing():
    """The input of the first layer does not depend on the hidden samples at all."""
    module, spectra = small(), some_spectra()
    mask = PatchMask(module.patchers, mask_ratio=0.3)(spectra, torch.Generator().manual_seed(0))
    tokens, _ = module.tokenize(spectra, mask)
    scrambled = {kind: torch.where(mask[kind], torch.rand_like(s) * 100, s) for kind, s in spectra.items()}
    assert torch.equal(module.tokenize(scrambled, mask)[0], tokens)


def test_patch_masks_leak_through_the_overlap():
    """The released way: changing a hidden patch changes the tokens of its visible neighbors."""
    module, spectra = small(), some_spectra()
    hidden = torch.zeros(5, module.num_patches["ir"], dtype=torch.bool)
    hidden[:, 4] = True
    tokens, _ = module.tokenize(spectra, {"ir": hidden})
    spectra["ir"][:, 40:60] += 1.0
    changed = (module.tokenize(spectra, {"ir": hidden})[0] != tokens).any(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == [3, 5]


def test_published_configurations():
    # 69 + 139 + 139 and 59 + 349 + 349 tokens; the released one has 11,844,347 parameters with its 15,480 for
    # reconstruction (3 linear maps from 128 channels to patches of 20, 50 and 50) and 3 stored softmax scales.
    released = SpecFormer.released()
    assert sum(released.num_patches.values()) == 347
    reconstruction = sum((128 + 1) * patch_len for patch_len in (20, 50, 50))
    assert sum(p.numel() for p in released.parameters()) + reconstruction + 3 == 11_844_347
    paper = SpecFormer.paper()
    assert sum(paper.num_patches.values()) == 757
    assert paper.hidden_channels == 256


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("num_heads", [1, 4])  # a wide head has a small scale, hence a large bias of absent tokens
def test_autocast_stays_close(dtype, num_heads):
    module, spectra = small(hidden_channels=64, num_heads=num_heads).eval(), some_spectra()
    spectra["nmr"][1] = torch.nan
    exact = module(spectra).embedding
    with torch.autocast("cpu", dtype=dtype):
        close(module(spectra).embedding.float(), exact, 0.1)


@pytest.mark.cuda
def test_cuda_equals_cpu():
    module, spectra = small().eval(), some_spectra()
    spectra["nmr"][1] = torch.nan
    expected = module(spectra).embedding
    close(module.cuda()({kind: s.cuda() for kind, s in spectra.items()}).embedding.cpu(), expected, 1e-4)


def _changed(**changes):
    return {**some_spectra(), **changes}


@pytest.mark.parametrize(
    ("spectra", "message"),
    [
        ({}, "spectra is empty; expected at least one of"),
        (_changed(uv=torch.rand(5, 10)), "Unknown kind of spectrum 'uv'"),
        (_changed(ir=torch.rand(5, 119)), r"must have shape \(B, 120\); got \(5, 119\)"),
        (_changed(ir=torch.rand(120)), r"got \(120,\). For one spectrum pass spectrum.unsqueeze\(0\)"),
        (_changed(ir=torch.rand(4, 120)), "one batch size"),
        (
            _changed(ir=torch.rand(5, 120, dtype=torch.float32).index_fill(1, torch.arange(0, 120, 9), torch.nan)),
            "row 0 .*no complete patch",
        ),
        (_changed(ir=torch.full((5, 120), torch.inf)), "row 0 mixes NaN or infinite"),
        (_changed(ir=-torch.rand(5, 120, dtype=torch.float32)), "must not be negative for a logarithmic scaling"),
        ({"ir": torch.rand(0, 120)}, "batch size 0"),
    ],
)
def test_bad_spectra_are_refused(spectra, message):
    with pytest.raises(ValueError, match=message):
        small()(spectra)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 3}, "multiple of num_heads"),
        ({"pool": "cls"}, 'pool must be "flatten", "mean", "bands" or None'),
        ({"norm": "rms"}, 'norm must be "batch" or "layer"'),
        ({"scaling": {"ir": IdentityScaling()}}, "scaling must have the kinds"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.usefixtures("no_shape_checks")
def test_masks_of_a_wrong_kind_or_type_are_refused():
    with pytest.raises(ValueError, match=r"masked has the unknown kinds \['irr'\]"):
        small()(some_spectra(), {"irr": torch.zeros(5, 120, dtype=torch.bool)})
    with pytest.raises(TypeError, match=r"masked\['ir'\] must be bool"):
        small()(some_spectra(), {"ir": torch.zeros(5, 120)})
    with pytest.raises(ValueError, match="Expected spectra of 120 samples; got 500"):
        PatchMask(small().patchers)({"ir": torch.rand(2, 500)})


def test_another_dtype_is_refused():
    with pytest.raises(TypeError, match=r"spectra\['ir'\] must be torch.float32"):
        small()(some_spectra(dtype=torch.float64))


def test_a_trained_scaling_is_saved_once_a_kind(tmp_path):
    from molspectra.pretrained import load, save

    save(small(), tmp_path)
    assert load(tmp_path).kinds == ("ir", "nmr")
    with pytest.raises(ValueError, match="cannot contain a dot"):
        SpecFormer({"i.r": 100}, 10, 10)


def test_masks_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"masked\['ir'\] must have shape \(5, 120\)"):
        small()(some_spectra(), {"ir": torch.zeros(5, 7, dtype=torch.bool)})


def test_a_trace_names_the_steps():
    module, spectra = small(num_layers=2).eval(), some_spectra()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(spectra)
    calls = {event.key: event.count for event in profile.key_averages() if event.key.startswith("molspectra::")}
    steps = {"patching": 1, "attention_layer": 2, "embedding": 1}
    assert calls == {f"molspectra::specformer.{step}": count for step, count in steps.items()}


def test_refuses_arrays():
    with pytest.raises(TypeError, match=r"spectra\['ir'\] must be a tensor of shape \(B, 120\); got ndarray. Convert"):
        inspect.unwrap(check_spectra)({"ir": torch.rand(5, 120).numpy()}, {"ir": 120})
