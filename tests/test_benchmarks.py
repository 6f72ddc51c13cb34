"""What is shown of the benchmarks is what was measured, and what they measure is what they say."""

import numpy as np
import pytest
import torch

from benchmarks import page, peak_data, scaling
from benchmarks.results import Table
from molspectra.geometry import half_neighbor_list


def test_the_page_shows_the_results():
    assert page.PAGE.read_text() == page.page(), "docs/benchmarks.md is out of date: run python -m benchmarks.page"


def test_a_table_shows_three_digits_and_nothing_that_was_not_measured():
    found = {"device": "A", "threads": 1, "cores": 2, "python": "3", "versions": {"torch": "2"}, "date": "2026-01-01"}
    table = Table("Title", "command", found, [{"a": "x", "b": 1234.5}, {"a": "y", "b": 0.01234, "c": 2}])
    lines = page.markdown(table).splitlines()
    assert lines[0] == "**Title.** `command`, 2026-01-01, A, 1 of 2 threads, Python 3, torch 2."
    assert lines[2:] == ["| a | b | c |", "|---|---:|---:|", "| x | 1234 |  |", "| y | 0.0123 | 2 |"]


def test_longer_alkanes_have_the_same_surroundings():
    """What an exponent over their lengths is measured on: real distances, and pairs in proportion to atoms."""
    pairs = []
    for num_carbons in (40, 80):
        z, pos = scaling.alkane(num_carbons)
        assert len(z) == 3 * num_carbons + 2
        distance = torch.cdist(pos, pos) + 10 * torch.eye(len(pos))
        heavy = (z[:, None] == 6) & (z == 6)
        assert 1.5 < distance[heavy].min() < 1.6
        assert 1.0 < distance.min() < 1.1
        pairs.append(half_neighbor_list(pos, None, 5.0).shape[1])
    middle = pairs[1] - pairs[0]  # what 40 more carbons add
    assert abs(middle - pairs[0]) < 0.1 * middle


def test_globules_are_as_dense_as_they_say():
    z, pos = scaling.globule(500)
    radius = (3 * 500 / (4 * torch.pi * 0.1)) ** (1 / 3)  # of a sphere of 100 atoms a nm³, in Å
    assert len(z) == len(pos.unique(dim=0)) == 500
    assert abs(pos.norm(dim=1).max() - radius) < 0.05 * radius


def test_atoms_that_bonds_do_not_tell_apart_share_a_peak():
    """Toluene without hydrogens: methyl, ipso, ortho, meta and para carbons."""
    ring = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (1, 6)]
    classes = peak_data.equivalence(np.full(7, 6), np.array([(0, 1), *ring]))
    assert classes[2] == classes[6]
    assert classes[3] == classes[5]
    assert len(set(classes)) == 5
    shifts = np.array([21.0, 138.0, 129.0, 128.0, 125.0, 128.2, 129.4])
    peaks = peak_data.peaks_of(shifts, classes, np.ones(7, dtype=bool), peak_data.CARBON)
    assert sorted(peaks[0, :, 0].tolist()) == pytest.approx([21.0, 125.0, 128.1, 129.2, 138.0])
