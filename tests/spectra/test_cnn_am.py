"""CNN-AM: attention against loops, missing spectra, and independence of the batch."""

import pytest
import torch

from molspectra.data import IdentityScaling
from molspectra.objectives import InfoNCELoss
from molspectra.pretrained import load, save
from molspectra.spectra import CNNAM
from molspectra.spectra.attentive_convolution import ChannelAttention, SpatialAttention

pytestmark = pytest.mark.usefixtures("float32_weights")


def small(**arguments) -> CNNAM:
    torch.manual_seed(0)
    defaults = {
        "out_channels": 8,
        "channels": (6, 12),
        "kernel_size": 5,
        "stride": 2,
        "num_sections": 4,
        "reduction": 2,
    }
    return CNNAM({"ir": 120, "nmr": 45}, **(defaults | arguments))


def some_spectra(batch_size=5, dtype=torch.float32):
    return {"ir": torch.rand(batch_size, 120, dtype=dtype), "nmr": torch.rand(batch_size, 45, dtype=dtype)}


def close(actual, expected, atol):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_shapes(batch_size, train):
    module = small().train(train)
    features = module(some_spectra(batch_size))
    assert features.embedding.shape == (batch_size, 8)
    assert module.num_tokens == {"ir": 30, "nmr": 12}
    assert features.tokens.shape == (batch_size, 42, 12)
    assert features.valid.shape == (batch_size, 42)
    assert features.valid.all()
    assert {kind: tuple(t.shape) for kind, t in module.split(features.tokens).items()} == {
        "ir": (batch_size, 30, 12),
        "nmr": (batch_size, 12, 12),
    }


@pytest.mark.parametrize("length", [1, 2, 16, 17, 3501])
def test_any_length(length):
    module = CNNAM({"ir": length}, 4, channels=(4, 4))
    features = module({"ir": torch.rand(2, length, dtype=torch.float32)})
    assert features.tokens.shape[1] == module.num_tokens["ir"]
    assert features.embedding.isfinite().all()


def test_attention_equals_its_equations_written_out():
    torch.manual_seed(0)
    hidden = torch.randn(2, 6, 10, dtype=torch.float64)
    channel, spatial = ChannelAttention(6, reduction=2).double(), SpatialAttention(3).double()
    first, _, second = channel.mlp
    for b in range(2):
        scores = torch.zeros(6, dtype=torch.float64)
        for reduce in (lambda row: sum(row) / len(row), max):
            descriptor = torch.stack([reduce(list(hidden[b, c])) for c in range(6)])
            scores = scores + second.weight @ (first.weight @ descriptor + first.bias).clamp(min=0) + second.bias
        close(channel(hidden)[b, :, 0], 1 / (1 + torch.exp(-scores)), 1e-12)
        for x in range(10):
            score = spatial.conv.bias[0]
            for offset in (-1, 0, 1):
                if 0 <= x + offset < 10:
                    column = hidden[b, :, x + offset]
                    weights = spatial.conv.weight[0, :, offset + 1]
                    score = score + weights[0] * column.mean() + weights[1] * column.max()
            close(spatial(hidden)[b, 0, x], 1 / (1 + torch.exp(-score)), 1e-12)


def test_attention_lies_between_0_and_1_and_differs():
    hidden = torch.randn(4, 16, 50, dtype=torch.float32)
    for attention in (ChannelAttention(16), SpatialAttention()):
        weights = attention(hidden)
        assert ((weights > 0) & (weights < 1)).all()
        assert weights.std() > 1e-3


@pytest.mark.parametrize("train", [True, False])
def test_batched_equals_one_by_one(train):
    """In training too: no statistics are shared."""
    module, spectra = small().double().train(train), some_spectra(dtype=torch.float64)
    spectra["nmr"][2] = torch.nan
    together = module(spectra)
    for i in range(5):
        alone = module({kind: spectrum[i : i + 1] for kind, spectrum in spectra.items()})
        close(alone.embedding[0], together.embedding[i], 1e-12)
        close(alone.tokens[0], together.tokens[i], 1e-12)


@pytest.mark.parametrize("train", [True, False])
def test_a_missing_spectrum_never_influences_the_result(train):
    """Without the other kind's trunk and weights altogether it is the same, in outputs and in gradients."""
    spectra = some_spectra(dtype=torch.float64)
    module = small().double().train(train)
    only_ir = CNNAM({"ir": 120}, 8, (6, 12), kernel_size=5, stride=2, num_sections=4, reduction=2).double().train(train)
    state = {name: tensor for name, tensor in module.state_dict().items() if "nmr" not in name}
    state["dense.0.weight"] = state["dense.0.weight"][:, : 4 * 12]
    only_ir.load_state_dict(state)
    expected = only_ir({"ir": spectra["ir"]})
    expected.embedding.square().sum().backward()
    for given in ({"ir": spectra["ir"]}, {**spectra, "nmr": torch.full_like(spectra["nmr"], torch.nan)}):
        module.zero_grad()
        features = module(given)
        close(features.embedding, expected.embedding, 1e-12)
        assert features.valid.sum() == 5 * 30
        assert not features.tokens[:, 30:].any()
        features.embedding.square().sum().backward()
        grads = {name: p.grad for name, p in module.named_parameters()}
        assert all(grad.isfinite().all() and not grad.any() for name, grad in grads.items() if "nmr" in name)
        for name, parameter in only_ir.named_parameters():
            grad = grads[name][:, : 4 * 12] if name == "dense.0.weight" else grads[name]
            close(grad, parameter.grad, 1e-10)


def test_a_sample_without_any_spectrum_is_finite_and_constant():
    module, spectra = small(), some_spectra()
    for spectrum in spectra.values():
        spectrum[[0, 3]] = torch.nan
    features = module(spectra)
    assert features.valid.any(dim=1).tolist() == [False, True, True, False, True]
    close(features.embedding[0], features.embedding[3], 0)
    features.embedding.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_it_tells_where_a_band_lies():
    """One band, at two places well inside the axis, which a mean over the whole of it could not tell apart."""
    axis = torch.arange(120, dtype=torch.float32)
    bands = torch.stack([torch.exp(-((axis - center) ** 2) / 8) for center in (40.0, 80.0)])
    one, other = small()({"ir": bands}).embedding
    assert (one - other).abs().max() > 1e-2


def test_every_parameter_gets_a_gradient():
    module = small()
    (module(some_spectra()).embedding * torch.randn(5, 8)).sum().backward()
    missing = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_it_learns_eight_spectra():
    """Contrast with eight fixed vectors, from chance (ln 8 = 2.1) to nearly nothing."""
    module, spectra = small(out_channels=16), some_spectra(8)
    molecules = torch.randn(8, 16, dtype=torch.float32)
    contrast, optimizer = InfoNCELoss(), torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(150):
        features = module(spectra)
        loss = contrast(molecules, features.embedding, valid=features.valid.any(dim=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


def test_autocast_stays_close():
    module, spectra = small(), some_spectra()
    spectra["nmr"][1] = torch.nan
    exact = module(spectra).embedding
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = module(spectra)
    assert features.embedding.dtype == features.tokens.dtype == torch.float32
    close(features.embedding, exact, 0.1)


def test_gradients_against_finite_differences():
    module, spectra = small(scaling=IdentityScaling()).double(), some_spectra(2, torch.float64)
    ir = spectra["ir"].requires_grad_()
    assert torch.autograd.gradcheck(lambda ir: module({"ir": ir, "nmr": spectra["nmr"]}).embedding, ir)


@pytest.mark.cuda
def test_cuda_equals_cpu():
    module, spectra = small(), some_spectra()
    spectra["nmr"][1] = torch.nan
    expected = module(spectra).embedding
    close(module.cuda()({kind: s.cuda() for kind, s in spectra.items()}).embedding.cpu(), expected, 1e-4)


def test_saving(tmp_path):
    module, spectra = small(scaling={"ir": IdentityScaling(), "nmr": IdentityScaling()}).eval(), some_spectra()
    save(module, tmp_path)
    # The class is known once molspectra.spectra exports it.
    loaded = load(tmp_path, [CNNAM])
    assert torch.equal(loaded(spectra).embedding, module(spectra).embedding)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": {}}, "lengths is empty"),
        ({"lengths": {"i.r": 3}}, "cannot contain a dot"),
        ({"channels": ()}, "channels must hold"),
        ({"kernel_size": 4}, "kernel_size must be odd"),
        ({"kernel_size": 3, "stride": 4}, "stride between 1 and kernel_size"),
        ({"num_sections": 0}, "num_sections must be at least 1; got 0"),
        ({"scaling": {"uv": IdentityScaling()}}, "scaling must have the kinds"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CNNAM(**({"lengths": {"ir": 120}} | arguments))


def test_bad_spectra_are_refused():
    with pytest.raises(ValueError, match="Unknown kind of spectrum 'uv'"):
        small()({"uv": torch.rand(2, 120)})
    with pytest.raises(ValueError, match=r"must have shape \(B, 120\); got \(2, 119\)"):
        small()({"ir": torch.rand(2, 119)})
    with pytest.raises(TypeError, match=r"spectra\['ir'\] must be torch.float32"):
        small()(some_spectra(dtype=torch.float64))
