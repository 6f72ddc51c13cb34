"""Encoders as programs for other runtimes: torch.export with a symbolic number of atoms, and torch.jit.trace."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export
from torch_geometric.nn import GCN, DimeNetPlusPlus, SchNet, ViSNet

import molspectra as ms

pytestmark = pytest.mark.compile  # programs are recorded without the checks of shapes

ENCODERS = {
    "transformer": lambda: ms.encoders.EquivariantTransformer(8, num_layers=1, num_heads=2, num_rbf=4),
    "whitened": lambda: ms.encoders.EquivariantTransformer(
        8, num_layers=1, num_heads=2, num_rbf=4, vector_norm="whitened", norm_every_layer=True
    ),
    "get": lambda: ms.encoders.GET(8, num_layers=1, num_heads=2, num_rbf=4),
    "painn": lambda: ms.encoders.PaiNN(8, num_layers=1),
    "egnn": lambda: ms.encoders.EGNN(8, num_layers=1, max_hops=0),
    "egnn of bonds": lambda: ms.encoders.EGNN(8, num_layers=1, max_hops=3),
    "irreps": lambda: ms.encoders.IrrepsTransformer(4, num_layers=1, num_heads=2, l_max=2),
    "schnet": lambda: ms.encoders.Adapter(SchNet(hidden_channels=8, num_filters=8, num_interactions=1)),
    "dimenet": lambda: ms.encoders.Adapter(DimeNetPlusPlus(8, 1, 1, 8, 8, 8, 3, 3)),
    "visnet": lambda: ms.encoders.Adapter(ViSNet(1, None, num_heads=2, num_layers=1, hidden_channels=8, num_rbf=4)),
    "gcn": lambda: ms.encoders.Adapter(GCN(8, 8, num_layers=1), cutoff=4.0, edge_weight=True),
    "gcn of bonds": lambda: ms.encoders.Adapter(GCN(8, 8, num_layers=1), edges="bonds"),
    "function": lambda: ms.encoders.FunctionEncoder(ms.encoders.PaiNN(8, num_layers=1)),
}


class Scalars(nn.Module):
    """Programs of torch.jit return tensors."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, z, pos, batch, bond_index):
        return self.encoder(z, pos, batch, bond_index=bond_index).scalars


def molecules(num_atoms):
    torch.manual_seed(num_atoms)
    batch = torch.randint(0, 3, (num_atoms,)).sort().values
    chain = torch.stack([torch.arange(num_atoms - 1), torch.arange(1, num_atoms)])
    bonds = chain[:, batch[1:] == batch[:-1]]
    return {
        "z": torch.randint(1, 9, (num_atoms,)),
        "pos": 1.5 * torch.randn(num_atoms, 3),
        "batch": batch,
        "bond_index": bonds,
    }


def check(scalars, encoder):
    # The first have no neighbors in some molecules, the last no pair at all.
    far = {"z": torch.tensor([8, 1]), "pos": 100.0 * torch.eye(3)[:2], "batch": torch.zeros(2, dtype=torch.int64)}
    far["bond_index"] = torch.empty(2, 0, dtype=torch.int64)
    for inputs in (molecules(3), molecules(12), molecules(41), far):
        torch.testing.assert_close(scalars(inputs), encoder(**inputs).scalars, rtol=1e-4, atol=1e-5)


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    return ENCODERS[request.param]().eval()


def test_export_with_any_number_of_atoms(encoder, tmp_path):
    """A program is saved with the class of its features."""
    atoms = Dim("atoms", min=2)
    shapes = {name: {0: atoms} for name in ("z", "pos", "batch")} | {"bond_index": {1: Dim("bonds", min=0)}}
    program = export(encoder, (), molecules(12), dynamic_shapes=shapes, strict=False)
    torch.export.save(program, tmp_path / "encoder.pt2")
    loaded = torch.export.load(tmp_path / "encoder.pt2").module()
    assert isinstance(loaded(**molecules(5)), ms.encoders.AtomFeatures)
    check(lambda inputs: loaded(**inputs).scalars, encoder)


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
def test_trace_of_any_number_of_atoms(encoder, tmp_path):
    model = Scalars(encoder)
    torch.jit.save(torch.jit.trace(model, tuple(molecules(12).values()), check_trace=False), tmp_path / "encoder.pt")
    traced = torch.jit.load(tmp_path / "encoder.pt")
    with torch.no_grad():  # the interpreter of torch.jit does not differentiate these programs
        check(lambda inputs: traced(*inputs.values()), encoder)


LENGTHS = {"ir": 200, "uv_vis": 120}
SPECTRUM_ENCODERS = {
    "specformer": lambda: ms.spectra.SpecFormer(LENGTHS, 20, 10, 16, num_layers=2, num_heads=2, out_channels=8),
    "cnn": lambda: ms.spectra.CNNAM(LENGTHS, 8, (8, 16)),
}


class Embedding(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, ir, uv_vis):
        return self.encoder({"ir": ir, "uv_vis": uv_vis}).embedding


@pytest.fixture(params=SPECTRUM_ENCODERS)
def spectrum_encoder(request):
    torch.manual_seed(0)
    return SPECTRUM_ENCODERS[request.param]().eval()


def spectra(number):
    given = {kind: torch.rand(number, length) for kind, length in LENGTHS.items()}
    given["ir"][1:2] = torch.nan
    return given


def test_export_with_any_number_of_spectra(spectrum_encoder, tmp_path):
    # torch takes a batch of as many spectra as samples, 200 or 120, for another program.
    shapes = {kind: {0: Dim("spectra", min=1, max=119)} for kind in LENGTHS}
    program = export(spectrum_encoder, (spectra(3),), dynamic_shapes=(shapes,), strict=False)
    torch.export.save(program, tmp_path / "encoder.pt2")
    loaded = torch.export.load(tmp_path / "encoder.pt2").module()
    for number in (1, 2, 7):
        given = spectra(number)
        features, expected = loaded(given), spectrum_encoder(given)
        assert isinstance(features, ms.spectra.SpectrumFeatures)
        torch.testing.assert_close(features.embedding, expected.embedding, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(features.tokens, expected.tokens, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated
def test_trace_with_any_number_of_spectra(spectrum_encoder, tmp_path):
    model = Embedding(spectrum_encoder)
    torch.jit.save(torch.jit.trace(model, tuple(spectra(3).values()), check_trace=False), tmp_path / "encoder.pt")
    traced = torch.jit.load(tmp_path / "encoder.pt")
    with torch.no_grad():
        for number in (1, 2, 7):
            given = tuple(spectra(number).values())
            torch.testing.assert_close(traced(*given), model(*given), rtol=1e-5, atol=1e-6)
