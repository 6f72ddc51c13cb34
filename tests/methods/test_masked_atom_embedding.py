"""Embedding of masked atoms: published numbers and its formula."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from molspectra.methods.masked_atom_embedding import MaskedAtomEmbedding, smear

RELEASED_ELEMENTS = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)


@pytest.fixture
def published(reference):
    """Return the published embedding of 8 scalars with its inputs and outputs."""
    folder = reference / "empp"
    weights = load_file(folder / "conditioning_state.safetensors")
    embedding = MaskedAtomEmbedding(8, label=True)
    types = weights["atom_embed.atom_type_lin.tp.weight"].view(90, 32)  # one row per type, ten of 90 in use
    table = torch.zeros_like(embedding.embedding.weight)
    for number, element in enumerate(RELEASED_ELEMENTS):
        table[element] = types[number] + weights["atom_embed.atom_type_lin.bias.0"]
    embedding.load_state_dict(
        {
            "embedding.weight": table,
            "label_proj.weight": weights["e_embed.1.tp.weight"].view(64, 32).T,
            "label_proj.bias": weights["e_embed.1.bias.0"],
            "out_proj.weight": weights["fc_atom_embed.tp.weight"].view(32, 8).T,
            "out_proj.bias": weights["fc_atom_embed.bias.0"],
        }
    )
    arrays = np.load(folder / "conditioning.npz")
    return embedding, {name: torch.from_numpy(arrays[name]) for name in arrays}


def test_published_numbers(published):
    embedding, arrays = published
    close = {"rtol": 1e-4, "atol": 1e-5}
    smeared = smear(arrays["target"], 64)
    torch.testing.assert_close(smeared, arrays["smeared"], **close)
    torch.testing.assert_close(embedding.label_proj(smeared), arrays["value_embed"], **close)
    torch.testing.assert_close(embedding.embedding(arrays["mask_z"]), arrays["atom_embed"], **close)
    activated = F.silu(arrays["value_embed"] + arrays["atom_embed"])
    torch.testing.assert_close(activated, arrays["activated"], **close)
    out = embedding(arrays["mask_z"], arrays["target"])
    torch.testing.assert_close(out, arrays["added_to_nodes"][:, :8], **close)
    assert (arrays["added_to_nodes"][:, 8:] == 0).all()  # nothing is added to vectors and tensors


def test_published_elements(published):
    _, arrays = published
    for number, element in enumerate(RELEASED_ELEMENTS):
        assert arrays["z_to_index"][element] == number


def test_smearing_by_its_formula():
    labels = (-3.0, 0.1, 3.3, 4.0, -76.0)
    smeared = smear(torch.tensor(labels, dtype=torch.float64), 64)
    width = 6 / 63
    for row, label in enumerate(labels):
        for k in range(64):
            expected = math.exp(-0.5 * ((label - (-3 + k * width)) / width) ** 2)
            assert smeared[row, k].item() == pytest.approx(expected, abs=1e-12)
    assert smeared[3].max() < 1e-23  # a label four standard deviations off counts as missing


def test_a_missing_label_is_one_that_smears_to_nothing():
    embedding = MaskedAtomEmbedding(4, label=True)
    label = torch.tensor([0.5, torch.nan, torch.inf], requires_grad=True)
    out = embedding(torch.tensor([6, 6, 6]), label)
    out.sum().backward()
    assert torch.equal(out[1], out[2])
    assert not torch.equal(out[0], out[1])
    assert label.grad[1:].tolist() == [0, 0]
    assert all(parameter.grad.isfinite().all() for parameter in embedding.parameters())


def test_every_element_and_every_parameter():
    for label in (False, True):
        embedding = MaskedAtomEmbedding(4, label=label)
        out = embedding(torch.arange(1, 119), torch.randn(118) if label else None)
        assert len({tuple(row) for row in out.tolist()}) == 118
        out.sum().backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in embedding.parameters())


def test_twice_differentiable_in_the_label():
    embedding = MaskedAtomEmbedding(4, label=True).double()
    label = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    z = torch.tensor([1, 8])
    assert torch.autograd.gradcheck(lambda y: embedding(z, y), label)
    assert torch.autograd.gradgradcheck(lambda y: embedding(z, y), label)


def test_autocast_and_no_atoms():
    embedding = MaskedAtomEmbedding(4, label=True)
    z, label = torch.tensor([1, 8]), torch.tensor([0.3, -1.2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = embedding(z, label)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, embedding(z, label), rtol=0.05, atol=0.05)
    assert embedding(z[:0], label[:0]).shape == (0, 4)


@pytest.mark.usefixtures("no_shape_checks")
def test_bad_input():
    z, label = torch.tensor([6]), torch.tensor([0.0])
    with pytest.raises(ValueError, match="label must be given"):
        MaskedAtomEmbedding(4, label=True)(z)
    with pytest.raises(ValueError, match="label must be None"):
        MaskedAtomEmbedding(4)(z, label)
    with pytest.raises(ValueError, match=r"label must have shape \(1,\), one per masked atom; got \(2,\)"):
        MaskedAtomEmbedding(4, label=True)(z, torch.zeros(2))
    with pytest.raises(ValueError, match=r"masked_z must lie in 1..10.*from 17 to 17"):
        MaskedAtomEmbedding(4, max_z=10)(torch.tensor([17]))
    with pytest.raises(ValueError, match="num_basis must be at least 2"):
        MaskedAtomEmbedding(4, num_basis=1)
