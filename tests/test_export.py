"""Encoders as programs for other runtimes: torch.export with a symbolic number of atoms, and torch.jit.trace."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export

import molspectra as ms

pytestmark = pytest.mark.compile  # programs are recorded without the checks of shapes

ENCODERS = {
    "transformer": lambda: ms.encoders.EquivariantTransformer(8, num_layers=1, num_heads=2, num_rbf=4),
    "whitened": lambda: ms.encoders.EquivariantTransformer(
        8, num_layers=1, num_heads=2, num_rbf=4, vector_norm="whitened", norm_every_layer=True
    ),
    "painn": lambda: ms.encoders.PaiNN(8, num_layers=1),
    "egnn": lambda: ms.encoders.EGNN(8, num_layers=1, max_hops=0),
    "irreps": lambda: ms.encoders.IrrepsTransformer(4, num_layers=1, num_heads=2),
}


class Features(nn.Module):
    """Programs return tensors."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, z, pos, batch):
        scalars, vectors = self.encoder(z, pos, batch)
        return scalars, vectors


def molecules(num_atoms):
    torch.manual_seed(num_atoms)
    batch = torch.randint(0, 3, (num_atoms,)).sort().values
    return torch.randint(1, 9, (num_atoms,)), 1.5 * torch.randn(num_atoms, 3), batch


def check(program, model):
    for num_atoms in (3, 12, 41):  # the first have no neighbors in some molecules
        inputs = molecules(num_atoms)
        for feature, expected in zip(program(*inputs), model(*inputs), strict=True):
            torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)
    far = torch.tensor([8, 1]), 100.0 * torch.eye(3)[:2], torch.zeros(2, dtype=torch.int64)  # no pair at all
    torch.testing.assert_close(program(*far)[0], model(*far)[0], rtol=1e-4, atol=1e-5)


@pytest.fixture(params=ENCODERS)
def model(request):
    torch.manual_seed(0)
    return Features(ENCODERS[request.param]()).eval()


def test_export_with_any_number_of_atoms(model, tmp_path):
    atoms = Dim("atoms", min=2)
    program = export(
        model, molecules(12), dynamic_shapes={name: {0: atoms} for name in ("z", "pos", "batch")}, strict=False
    )
    torch.export.save(program, tmp_path / "encoder.pt2")
    check(torch.export.load(tmp_path / "encoder.pt2").module(), model)


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
def test_trace_of_any_number_of_atoms(model, tmp_path):
    torch.jit.save(torch.jit.trace(model, molecules(12), check_trace=False), tmp_path / "encoder.pt")
    traced = torch.jit.load(tmp_path / "encoder.pt")
    with torch.no_grad():  # the interpreter of torch.jit does not differentiate these programs
        check(traced, model)


def test_export_of_specformer_with_any_number_of_spectra():
    class Embedding(nn.Module):
        def __init__(self):
            super().__init__()
            self.specformer = ms.spectra.SpecFormer({"ir": 200}, 20, 10, 16, num_layers=2, num_heads=2, out_channels=8)

        def forward(self, ir):
            return self.specformer({"ir": ir}).embedding

    model = Embedding().eval()
    number = Dim("spectra", min=1, max=199)  # torch takes a batch of as many spectra as samples for another program
    program = export(model, (torch.rand(3, 200),), dynamic_shapes=({0: number},), strict=False).module()
    for number in (1, 2, 7):
        spectra = torch.rand(number, 200)
        spectra[1:2] = torch.nan
        torch.testing.assert_close(program(spectra), model(spectra), rtol=1e-5, atol=1e-6)
