"""PaiNN: the shipped suite, its equations written out, and its radial basis."""

import math

import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.encoders.painn.model import PaiNN
from molspectra.encoders.painn.radial_basis import BesselBasis
from molspectra.testing import EncoderSuite, random_molecules
from tests.oracles.painn import explicit_painn


class TestPaiNN(EncoderSuite):
    def make_encoder(self):
        return PaiNN(16, num_layers=2, num_rbf=8)


class TestPaiNNOfOneLayer(EncoderSuite):
    def make_encoder(self):
        return PaiNN(8, num_layers=1, num_rbf=3, cutoff=3, max_z=118)


def test_equals_its_equations_written_out():
    encoder = PaiNN(12, num_layers=3, num_rbf=6).double()
    for parameter in encoder.parameters():  # biases are zero at first
        torch.nn.init.normal_(parameter, std=0.3)
    z, pos, batch = random_molecules((6, 1, 4), torch.float64)
    pos = (1.5 * pos).requires_grad_()  # far enough apart for the cutoff to matter
    weights = torch.randn(2, 12, dtype=torch.float64)
    results = []
    for scalars, vectors in (encoder(z, pos, batch), explicit_painn(encoder, z, pos, batch)):
        (grad,) = torch.autograd.grad((scalars * weights[0]).sum() + (vectors.square() * weights[1]).sum(), pos)
        results.append((scalars, vectors, grad))
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bessel_basis_equals_its_formula(dtype):
    distance = torch.linspace(1e-3, 6, 400, dtype=dtype)
    order = torch.arange(1, 21, dtype=torch.float64)
    exact = distance.double()[:, None]
    expected = 5 / (20 * math.pi) * torch.sin(order * math.pi * exact / 5) / exact
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    assert (BesselBasis(20, 5)(distance) - expected).abs().max() < tolerance


@pytest.mark.parametrize("distance", [0.0, 1e-6, 1e-3])
def test_bessel_basis_near_zero_has_the_derivatives_of_its_series(distance):
    """sin(k r) / r = k - k³ r² / 6 + k⁵ r⁴ / 120 - …, scaled."""
    r = torch.tensor([distance], dtype=torch.float64, requires_grad=True)
    k = torch.arange(1, 9, dtype=torch.float64) * math.pi / 5
    value = 8 * math.pi / 5 * BesselBasis(8, 5)(r)[0]
    expected = [k - k**3 * r**2 / 6, -(k**3) * r / 3, -(k**3) / 3, 0 * k + k**5 * r / 5]
    derivatives = [value]
    for _ in range(3):
        rows = [torch.autograd.grad(entry, r, create_graph=True)[0] for entry in derivatives[-1]]
        derivatives.append(torch.cat(rows))
    for actual, series in zip(derivatives, expected, strict=True):
        torch.testing.assert_close(actual, series, rtol=1e-4, atol=1e-3 * max(distance, 1e-12))


def test_bessel_basis_derivatives_agree_on_both_sides_of_the_switch():
    """The series takes over at k r = 0.5."""
    r = torch.tensor([0.5 - 1e-9, 0.5 + 1e-9], dtype=torch.float64, requires_grad=True)
    value = BesselBasis(1, math.pi)(r)[:, 0]
    (first,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    for pair in (value, first, second):
        torch.testing.assert_close(pair[0], pair[1], rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float32_weights")
def test_strong_noise_does_not_overflow():
    """Atoms that come close meet large values of the unscaled basis, and the layers multiply them."""
    molecules = Batch.from_data_list(list(ms.data.MiniSpectra("train")[::20]))
    for encoder in (PaiNN(32), PaiNN(64, 5)):
        loss = ms.methods.EMGP(encoder.out_channels)(encoder, molecules, torch.Generator().manual_seed(0))["loss"]
        loss.backward()
        assert loss < 10
        assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_z": 119}, "max_z must lie in 1..118; got 119"),
        ({"cutoff": 0}, "cutoff must be positive"),
        ({"num_rbf": 0}, "num_rbf must be positive"),
        ({"num_layers": 0}, "num_layers must be at least 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PaiNN(**({"hidden_channels": 8, "num_layers": 1} | arguments))
