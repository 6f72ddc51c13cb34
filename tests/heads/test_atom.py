"""Predictions per atom, and scales of elements, against their definitions."""

import statistics

import pytest
import torch
from torch_geometric.data import Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import without_shape_checks

F = 8


def features(count):
    return AtomFeatures(torch.randn(count, F), torch.randn(count, 3, F))


def test_scale_of_each_element_is_that_of_its_labels():
    z = torch.tensor([6, 1, 6, 8, 1, 6, 9])
    values = torch.tensor([100.0, 2.0, 120.0, torch.nan, 5.0, 170.0, 7.0])
    scale = ms.heads.ElementScale.fit(z, values)
    carbon, hydrogen = [100.0, 120.0, 170.0], [2.0, 5.0]
    assert scale.config["elements"] == [1, 6, 9]
    expected = [statistics.mean(hydrogen), statistics.mean(carbon), 7.0]
    assert scale.config["means"] == pytest.approx(expected)
    # A single label has no spread to divide by.
    assert scale.config["stds"] == pytest.approx([statistics.pstdev(hydrogen), statistics.pstdev(carbon), 1.0])


def test_one_scale_for_all_elements():
    z, values = torch.tensor([6, 1, 8]), torch.tensor([[1.0], [5.0], [torch.nan]])
    scale = ms.heads.ElementScale.fit(z, values, by_element=False)
    assert (scale.config["elements"], scale.config["means"], scale.config["stds"]) == ([1, 6], [3.0, 3.0], [2.0, 2.0])


@pytest.mark.parametrize("scale", [None, ms.heads.ElementScale([1, 6], [5.0, 100.0], [2.0, 50.0])])
def test_predictions_are_the_blocks_in_their_units(scale):
    head = ms.heads.AtomHead(F, scale=scale) if scale else ms.heads.AtomHead(F, mean=7.0, std=3.0)
    atoms, data = features(3), Data(z=torch.tensor([6, 1, 6]))
    plain = ms.heads.AtomHead(F)
    plain.blocks.load_state_dict(head.blocks.state_dict())
    numbers = plain(atoms)[:, 0]
    expected = [100 + 50 * numbers[0], 5 + 2 * numbers[1], 100 + 50 * numbers[2]] if scale else 7 + 3 * numbers
    torch.testing.assert_close(head(atoms, data)[:, 0], torch.stack(list(expected)))


def test_an_element_without_labels_gets_no_number_and_leaves_gradients_finite():
    head = ms.heads.AtomHead(F, scale=ms.heads.ElementScale([6], [100.0], [50.0]))
    predicted = head(features(3), Data(z=torch.tensor([6, 1, 6])))[:, 0]
    assert predicted.isnan().tolist() == [False, True, False]
    predicted[[0, 2]].sum().backward()
    assert all(p.grad.isfinite().all() for p in head.parameters() if p.grad is not None)


def test_predictions_do_not_change_under_rotation():
    encoder, head = ms.encoders.PaiNN(F, num_layers=2).double(), ms.heads.AtomHead(F).double()
    molecule = ms.data.MiniSpectra()[20]
    pos, rotation = molecule.pos.double(), torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    torch.testing.assert_close(head(encoder(molecule.z, pos @ rotation.T)), head(encoder(molecule.z, pos)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([6, 6], [0.0, 0.0], [1.0, 1.0]), "elements must be different"),
        (([6], [0.0], []), "1 means and 0 stds"),
        (([0], [0.0], [1.0]), r"must lie in 1\.\.118; got \[0\]"),
        (([6], [torch.nan], [1.0]), "means must be finite"),
        (([6], [0.0], [0.0]), "stds positive and finite"),
    ],
)
def test_scales_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        ms.heads.ElementScale(*arguments)


def test_bad_arguments():
    scale = ms.heads.ElementScale([6], [0.0], [1.0])
    with pytest.raises(ValueError, match="in place of mean and std; got mean=1.0"):
        ms.heads.AtomHead(F, mean=1.0, scale=scale)
    with pytest.raises(ValueError, match="got 2, 0 of them infinite and 2 known"), without_shape_checks():
        ms.heads.ElementScale.fit(torch.tensor([6, 1, 1]), torch.ones(2))
    with pytest.raises(ValueError, match="3, 0 of them infinite and 0 known"):
        ms.heads.ElementScale.fit(torch.tensor([6, 1, 1]), torch.full((3,), torch.nan))
    with pytest.raises(ValueError, match=r"needs data with z; \['z'\] are missing"):
        ms.heads.AtomHead(F, scale=scale)(features(1), Data(pos=torch.zeros(1, 3)))
