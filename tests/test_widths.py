"""Features of another width than a module was made for are refused by name, in words."""

import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms

pytestmark = pytest.mark.usefixtures("no_shape_checks")

WIDTH, OTHER = 16, 24
REFUSED = rf"was made for features of {WIDTH} channels; got {OTHER}.*{OTHER} channels \(encoder.out_channels\)"

HEADS = {
    "AtomHead": ms.heads.AtomHead(WIDTH),
    "DipoleHead": ms.heads.DipoleHead(WIDTH),
    "DistanceScoreHead": ms.heads.DistanceScoreHead(WIDTH),
    "EnergyHead": ms.heads.EnergyHead(WIDTH),
    "EnsembleHead": ms.heads.EnsembleHead([ms.heads.ScalarHead(WIDTH), ms.heads.ScalarHead(WIDTH)]),
    "EvidentialHead": ms.heads.EvidentialHead(WIDTH),
    "FusionHead": ms.heads.FusionHead(WIDTH, OTHER),
    "GradientHead": ms.heads.GradientHead(channels=WIDTH),
    "MoleculeEmbeddingHead": ms.heads.MoleculeEmbeddingHead(WIDTH),
    "MoleculePooling": ms.heads.MoleculePooling(WIDTH),
    "PositionDistributionHead": ms.heads.PositionDistributionHead(WIDTH, num_polar=4),
    "ScalarHead": ms.heads.ScalarHead(WIDTH),
    "SpatialExtentHead": ms.heads.SpatialExtentHead(WIDTH),
    "SpectrumHead": ms.heads.SpectrumHead(WIDTH, {"ir": 40}),
    "StickHead": ms.heads.StickHead(WIDTH, {"ir": ms.data.IR}, fwhm=16.0),
    "VectorHead": ms.heads.VectorHead(WIDTH),
}
METHODS = {
    "Coord": ms.methods.Coord(WIDTH),
    "Coord, gradient": ms.methods.Coord(WIDTH, prediction="gradient"),
    "EMGP": ms.methods.EMGP(WIDTH),
    "EMGP, vector": ms.methods.EMGP(WIDTH, prediction="vector"),
    "SCD": ms.methods.SCD(WIDTH),
    "SE3DDM": ms.methods.SE3DDM(WIDTH),
    "Regression": ms.methods.Regression(HEADS["ScalarHead"], label="gap"),
    "SpectrumPrediction": ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(WIDTH, {"ir": ms.data.IR})),
    "NoisyNodes": ms.methods.NoisyNodes(ms.methods.Coord(WIDTH), HEADS["ScalarHead"], label="gap"),
    "Combined": ms.methods.Combined({"coord": (ms.methods.Coord(WIDTH), 1.0)}),
}


@pytest.fixture(scope="module")
def batch():
    molecules = Batch.from_data_list(ms.data.MiniSpectra()[:2])
    molecules.spectrum_embedding = torch.zeros(2, OTHER)
    return molecules


@pytest.fixture(scope="module")
def encoder():
    return ms.encoders.EquivariantTransformer(OTHER, num_layers=1, num_heads=4, num_rbf=8)


def test_every_head_that_reads_features_is_here():
    assert set(HEADS) == set(ms.heads.__all__) - {"AtomicReferenceEnergies", "ElementScale"}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name, batch, encoder):
    with pytest.raises(ValueError, match=REFUSED):
        HEADS[name](encoder(batch.z, batch.pos, batch.batch), batch)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name, batch, encoder):
    with pytest.raises(ValueError, match=REFUSED):
        METHODS[name](encoder, batch)


def test_empp_whose_context_has_another_width(batch, encoder):
    with pytest.raises(ValueError, match=rf"context must have {OTHER} channels.*got {WIDTH}.*channels={OTHER}"):
        ms.methods.EMPP(WIDTH)(encoder, batch)


def test_embeddings_of_spectra(batch, encoder):
    atoms = encoder(batch.z, batch.pos, batch.batch)
    with pytest.raises(ValueError, match=rf"spectrum_channels was made for features of 5 channels; got {OTHER}"):
        ms.heads.FusionHead(OTHER, 5)(atoms, batch)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ms.layers.ProjectionMLP(WIDTH, 3)(torch.zeros(2, OTHER)),
        lambda: ms.methods.NoiseScaleClassifier(WIDTH)(torch.zeros(2, OTHER), torch.zeros(2, OTHER)),
        lambda: ms.spectra.PatchDecoder(WIDTH, {"ir": 5})({"ir": torch.zeros(2, 3, OTHER)}),
    ],
    ids=["ProjectionMLP", "NoiseScaleClassifier", "PatchDecoder"],
)
def test_other_modules(call):
    with pytest.raises(ValueError, match=REFUSED):
        call()
