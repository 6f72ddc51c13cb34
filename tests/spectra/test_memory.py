"""Tokens of spectra as the memory of a decoder."""

import pytest
import torch
from torch import nn

import molspectra as ms

LENGTHS = {"uv_vis": 60, "ir": 100}


@pytest.fixture
def specformer():
    return ms.spectra.SpecFormer(LENGTHS, 20, 20, 16, num_layers=1, num_heads=2, out_channels=8).eval()


@pytest.fixture
def decoder():
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32, 0.0, batch_first=True), 2)


def spectra():
    return {kind: torch.rand(3, length) for kind, length in LENGTHS.items()}


def test_absent_tokens_have_no_part(specformer, decoder):
    queries, both = torch.randn(3, 4, 16), spectra()
    both["ir"][1] = torch.nan
    features = specformer(both)
    decoded = decoder(queries, **features.as_memory()._asdict())
    kept = features.tokens[1:2, features.valid[1]]
    torch.testing.assert_close(decoded[1:2], decoder(queries[1:2], kept))
    torch.testing.assert_close(decoded[0:1], decoder(queries[0:1], features.tokens[0:1]))


def test_a_sample_without_spectra_gives_no_nan(specformer, decoder):
    none = {kind: torch.full_like(spectrum, torch.nan) for kind, spectrum in spectra().items()}
    memory = specformer(none).as_memory()
    assert (memory.memory == 0).all()
    decoded = decoder(torch.randn(3, 4, 16), **memory._asdict())
    assert decoded.isfinite().all()
    decoded.sum().backward()
    gradients = [p.grad for p in [*decoder.parameters(), *specformer.parameters()] if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_every_atom_gets_the_tokens_of_its_molecule(specformer):
    features, molecule = specformer(spectra()), torch.tensor([0, 0, 2, 1])
    memory = features.as_memory(molecule)
    torch.testing.assert_close(memory.memory, features.tokens[molecule])
    assert not memory.memory_key_padding_mask.any()
    assert memory.memory_key_padding_mask.shape == (4, features.tokens.shape[1])


def test_other_spectrum_encoders_have_it_too(decoder):
    encoder = ms.spectra.CNNAM({"ir": 200}, 8, (16, 16))
    features = encoder({"ir": torch.rand(2, 200)})
    assert decoder(torch.randn(2, 3, 16), **features.as_memory()._asdict()).isfinite().all()
