"""Properties of every head: batches equal single molecules, precision, autocast, saving and loading."""

import pytest
import torch
from torch.utils import _pytree
from torch_geometric.data import Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import assert_close

F = 8
HEADS = {
    "VectorHead": ms.heads.VectorHead(F),
    "ScalarHead, sum": ms.heads.ScalarHead(F, mean=1.0, std=2.0),
    "ScalarHead, mean": ms.heads.ScalarHead(F, reduce="mean"),
    "ScalarHead, references": ms.heads.ScalarHead(F, references=ms.heads.AtomicReferenceEnergies([6], [-1.0])),
    "AtomHead": ms.heads.AtomHead(F, mean=1.0, std=2.0),
    "AtomHead, scale": ms.heads.AtomHead(F, scale=ms.heads.ElementScale([6], [-1.0], [2.0])),
    "ElementScale": ms.heads.ElementScale([6], [-1.0], [2.0]),
    "DipoleHead": ms.heads.DipoleHead(F),
    "DipoleHead, vector": ms.heads.DipoleHead(F, magnitude=False),
    "SpatialExtentHead": ms.heads.SpatialExtentHead(F),
    "MoleculePooling": ms.heads.MoleculePooling(F),
    "EnergyHead": ms.heads.EnergyHead(F),
    "GradientHead": ms.heads.GradientHead(channels=F),
    "PositionDistributionHead": ms.heads.PositionDistributionHead(F, num_polar=6),
    "SpectrumHead": ms.heads.SpectrumHead(F, {"ir": 40}),
    "EvidentialHead": ms.heads.EvidentialHead(F, mean=1.0, std=2.0),
    "EvidentialHead, atoms": ms.heads.EvidentialHead(F, "atom", scale=ms.heads.ElementScale([6], [-1.0], [2.0])),
    "EnsembleHead": ms.heads.EnsembleHead([ms.heads.ScalarHead(F), ms.heads.ScalarHead(F)]),
    "StickHead": ms.heads.StickHead(F, {"ir": ms.data.SpectrumAxis("ir", 0, 100, 2, "cm^-1")}, fwhm=10.0),
    "MoleculeEmbeddingHead": ms.heads.MoleculeEmbeddingHead(F),
    "DistanceScoreHead": ms.heads.DistanceScoreHead(F),
    "FusionHead": ms.heads.FusionHead(F, 3),
    "AtomicReferenceEnergies": ms.heads.AtomicReferenceEnergies([6], [-1.0]),
}
# Total energies, which are never rounded to float32.
IN_FLOAT64 = ("ScalarHead, references", "AtomicReferenceEnergies")
SIZES = (4, 1, 6)
every_head = pytest.mark.parametrize("name", HEADS)


def molecules(dtype):
    """Return smooth features of positions, as an encoder would give, and the molecules they belong to."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(sum(SIZES), 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    mix = torch.randn(3, F, generator=generator, dtype=torch.float64).to(dtype)
    scalars, vectors = torch.sin(pos @ mix), pos.unsqueeze(2) * torch.cos(pos @ mix).unsqueeze(1)
    embedding = torch.randn(len(SIZES), 3, generator=generator, dtype=torch.float64).to(dtype)
    batch = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    z = torch.full((sum(SIZES),), 6)
    data = Data(z=z, pos=pos, batch=batch, spectrum_embedding=embedding)
    return AtomFeatures(scalars, vectors), with_pairs(data)


def with_pairs(data):
    """Add the distances of each atom and the next one of its molecule, as the noise of distances does."""
    first = torch.arange(data.num_nodes - 1)
    if data.batch is not None:
        first = first[data.batch[:-1] == data.batch[1:]]
    data.pair_index = torch.stack([first, first + 1])
    data.noisy_distance = (data.pos[first] - data.pos[first + 1]).norm(dim=1).detach()
    return data


def call(head, atoms, data):
    """Return the prediction of a head, and of one that predicts several tensors, the first: a spectrum, directions."""
    predicted = head(atoms, data)
    if isinstance(predicted, ms.uncertainty.Distribution):
        return predicted.std if isinstance(predicted, ms.uncertainty.Evidence) else predicted.members[0]
    return _pytree.tree_leaves(predicted)[0]


def test_every_head_is_here():
    assert {type(head).__name__ for head in HEADS.values()} == set(ms.heads.__all__)


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_is_its_molecules_one_by_one(name, dtype):
    head = HEADS[name].to(dtype)
    atoms, data = molecules(dtype)
    together = call(head, atoms, data)
    assert together.dtype == (torch.float64 if name in IN_FLOAT64 else dtype)
    rows = []
    for molecule in range(len(SIZES)):
        of_molecule = (data.batch == molecule).nonzero()[:, 0]
        # The gradient is taken with respect to the positions of all atoms, from which the features were computed.
        of_all_atoms = name == "GradientHead"
        own = Data(z=data.z[of_molecule], pos=data.pos if of_all_atoms else data.pos[of_molecule])
        own.spectrum_embedding = data.spectrum_embedding[molecule : molecule + 1]
        own = own if of_all_atoms else with_pairs(own)
        alone = call(head, atoms.select(of_molecule), own)
        rows.append(alone[of_molecule] if of_all_atoms else alone)
    assert_close(together, torch.cat(rows), 1e-5 if dtype == torch.float32 else 1e-12, name)


@every_head
def test_autocast(name):
    head = HEADS[name].float()
    atoms, data = molecules(torch.float32)
    exact = call(head, atoms, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = call(head, atoms, data)
    assert_close(predicted.float(), exact, 0.05, name)
    assert predicted.dtype == exact.dtype


@every_head
def test_saved_and_loaded(name, tmp_path):
    head = HEADS[name].float()
    ms.pretrained.save(head, tmp_path)
    features = molecules(torch.float32)
    torch.testing.assert_close(call(ms.pretrained.load(tmp_path), *features), call(head, *features))
