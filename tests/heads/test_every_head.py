"""What holds for every head: a batch is its molecules one by one, in either precision, under autocast and saved."""

import pytest
import torch

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import assert_close

F = 8
HEADS = {
    "VectorHead": ms.heads.VectorHead(F),
    "ScalarHead, sum": ms.heads.ScalarHead(F, mean=1.0, std=2.0),
    "ScalarHead, mean": ms.heads.ScalarHead(F, reduce="mean"),
    "ScalarHead, references": ms.heads.ScalarHead(F, references=ms.heads.AtomicReferences([6], [-1.0])),
    "DipoleHead": ms.heads.DipoleHead(F),
    "DipoleHead, vector": ms.heads.DipoleHead(F, magnitude=False),
    "SpatialExtentHead": ms.heads.SpatialExtentHead(F),
    "MoleculePooling": ms.heads.MoleculePooling(F),
    "EnergyHead": ms.heads.EnergyHead(F),
    "GradientHead": ms.heads.GradientHead(channels=F),
    "NoiseScaleHead": ms.heads.NoiseScaleHead(F, 5),
    "PositionDistributionHead": ms.heads.PositionDistributionHead(F, num_polar=6),
    "ProjectionHead": ms.heads.ProjectionHead(F, 3),
}
PROPERTY_HEADS = ms.heads.ScalarHead | ms.heads.DipoleHead | ms.heads.SpatialExtentHead
SIZES = (4, 1, 6)
every_head = pytest.mark.parametrize("name", HEADS)


def molecules(dtype):
    """Smooth features of positions (N, 3), as an encoder would give, and the molecule of each atom."""
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(sum(SIZES), 3, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    mix = torch.randn(3, F, generator=generator, dtype=torch.float64).to(dtype)
    scalars, vectors = torch.sin(pos @ mix), pos.unsqueeze(2) * torch.cos(pos @ mix).unsqueeze(1)
    batch = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    return AtomFeatures(scalars, vectors), pos, batch


def call(head, atoms, pos, batch):
    """Any of the heads on the features of molecules."""
    if isinstance(head, ms.heads.GradientHead):
        return head(atoms, pos, batch)
    if isinstance(head, PROPERTY_HEADS):
        return head(atoms, z=torch.full((len(pos),), 6), pos=pos, batch=batch)
    if isinstance(head, ms.heads.MoleculePooling | ms.heads.EnergyHead):
        return head(atoms, batch)
    if isinstance(head, ms.heads.NoiseScaleHead):
        pooled = atoms.pool(batch)
        return head(pooled, 2 * pooled)
    if isinstance(head, ms.heads.ProjectionHead):
        return head(atoms.pool(batch))
    predicted = head(atoms)
    return predicted.direction if isinstance(head, ms.heads.PositionDistributionHead) else predicted


@every_head
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_batch_is_its_molecules_one_by_one(name, dtype):
    head = HEADS[name].to(dtype)
    atoms, pos, batch = molecules(dtype)
    together = call(head, atoms, pos, batch)
    totals = "references" in name  # are never rounded
    assert together.dtype == (torch.float64 if totals else dtype)
    rows = []
    for molecule in range(len(SIZES)):
        of_molecule = (batch == molecule).nonzero()[:, 0]
        # A gradient is by the positions that the features have come from; of others it is 0.
        by_all = isinstance(head, ms.heads.GradientHead)
        alone = call(head, atoms.select(of_molecule), pos if by_all else pos[of_molecule], None)
        rows.append(alone[of_molecule] if by_all else alone)
    assert_close(together, torch.cat(rows), 1e-5 if dtype == torch.float32 else 1e-12, name)


@every_head
def test_autocast(name):
    head = HEADS[name].float()
    atoms, pos, batch = molecules(torch.float32)
    exact = call(head, atoms, pos, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = call(head, atoms, pos, batch)
    assert_close(predicted.float(), exact, 0.05, name)
    if isinstance(head, PROPERTY_HEADS | ms.heads.EnergyHead | ms.heads.GradientHead | ms.heads.VectorHead):
        assert predicted.dtype in (torch.float32, torch.float64)


@every_head
def test_saved_and_loaded(name, tmp_path):
    head = HEADS[name].float()
    ms.pretrained.save(head, tmp_path)
    features = molecules(torch.float32)
    torch.testing.assert_close(call(ms.pretrained.load(tmp_path), *features), call(head, *features))
