"""Figures equal stored images, up to the edges of lines."""

import numpy as np
import pytest
from matplotlib.image import imread

from tests.plots.figures import BASELINE, FIGURES, picture

TOLERANCE = 12.0  # root mean square difference of 0..255: the edges of lines, and the 64 colors of the stored images


def stored(name):
    return np.rint(255 * imread(BASELINE / f"{name}.png")[..., :3])


def difference(first, second):
    return np.sqrt(np.square(first.astype(float) - second).mean())


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_the_stored_ones(name):
    drawn, expected = picture(FIGURES[name]()), stored(name)
    assert drawn.shape == expected.shape
    assert difference(drawn, expected) < TOLERANCE


@pytest.mark.parametrize("name", FIGURES)
def test_a_change_is_seen(name):
    # The mirror image of a figure, as of an axis drawn in the wrong direction, is another figure.
    assert difference(stored(name), stored(name)[:, ::-1]) > TOLERANCE


def test_no_other_image_is_stored():
    assert {path.stem for path in BASELINE.iterdir()} == set(FIGURES)
