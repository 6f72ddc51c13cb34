"""Molecules that are none, given to encoders, noises and methods: an error that names what is expected."""

import numpy as np
import pytest
import torch

import molspectra as ms

pytestmark = pytest.mark.usefixtures("no_shape_checks")  # which would refuse them first

ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(8, 1, 2, 4),
    "EGNN": lambda: ms.encoders.EGNN(8, 1),
    "GET": lambda: ms.encoders.GET(8, 1, 2),
    "PaiNN": lambda: ms.encoders.PaiNN(8, 1),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(8, 1, 2),
}
METHODS = {
    "Coord": lambda: ms.methods.Coord(8),
    "Frad": lambda: ms.methods.Frad(8),
    "SliDe": lambda: ms.methods.SliDe(8),
    "EMGP": lambda: ms.methods.EMGP(8),
    "EMPP": lambda: ms.methods.EMPP(8),
    "SE3DDM": lambda: ms.methods.SE3DDM(8),
    "DeNS": lambda: ms.methods.DeNS(8),
    "SCD": lambda: ms.methods.SCD(8),
    "Regression": lambda: ms.methods.Regression(ms.heads.ScalarHead(8)),
    "MolSpectra": lambda: ms.methods.MolSpectra(
        ms.methods.Coord(8),
        ms.spectra.SpecFormer({"ir": 3501}, hidden_channels=8, num_heads=2, num_layers=1, out_channels=8),
    ),
}
NOISES = (
    ms.noise.CoordNoise,
    ms.noise.FradNoise,
    ms.noise.SliDeNoise,
    ms.noise.EMGPNoise,
    ms.noise.AtomMask,
    ms.noise.DistanceNoise,
    ms.noise.DeNSNoise,
)
NO_MOLECULES = {"None": None, "list": [ms.data.from_smiles("O")], "dict": {"z": 1}, "SMILES": "O"}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("make", [list, np.array])
def test_encoders_take_tensors(name, make):
    encoder, z, pos = ENCODERS[name](), [8, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    with pytest.raises(
        TypeError, match=r"z must be a tensor; got (list|ndarray). Convert it with torch.as_tensor\(z\)"
    ):
        encoder(make(z), make(pos))
    with pytest.raises(TypeError, match="pos must be a tensor"):
        encoder(torch.tensor(z), make(pos))
    with pytest.raises(TypeError, match="batch must be a tensor"):
        encoder(torch.tensor(z), torch.tensor(pos), make([0, 0]))


@pytest.mark.parametrize("molecules", NO_MOLECULES.values(), ids=NO_MOLECULES)
@pytest.mark.parametrize("name", METHODS)
def test_methods_take_molecules(name, molecules):
    with pytest.raises(
        TypeError, match=r"needs molecules as a torch_geometric Data or Batch; got a (None|list|dict|str)"
    ):
        METHODS[name]()(ENCODERS["PaiNN"](), molecules)


@pytest.mark.parametrize("spectra", [None, "ir", np.zeros((2, 60)), torch.zeros(2, 60)])
def test_spectrum_encoders_take_spectra_by_kind(spectra):
    encoders = (
        ms.spectra.SpecFormer({"ir": 60}, 10, 5, 8, num_heads=2),
        ms.spectra.CNNAM({"ir": 60}),
    )
    for encoder in encoders:
        with pytest.raises(TypeError, match="spectra must be a dict from kinds to intensities"):
            encoder(spectra)


@pytest.mark.parametrize("molecules", NO_MOLECULES.values(), ids=NO_MOLECULES)
@pytest.mark.parametrize("noise", NOISES)
def test_noises_take_molecules(noise, molecules):
    with pytest.raises(
        TypeError, match=r"needs molecules as a torch_geometric Data or Batch; got a (None|list|dict|str)"
    ):
        noise()(molecules)
