"""Figures equal stored images, up to the edges of lines."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from tests.plots.figures import BASELINE, FIGURES, picture

pytestmark = pytest.mark.usefixtures("float32_weights")

VERSION = tuple(int(part) for part in mpl.__version__.split(".")[:2])
TOLERANCE = 8.0  # root mean square difference of 0..255, with 64 colors in the stored images
BLUR = 5  # pixels: versions of matplotlib place lines and panels up to a pixel apart


def stored(name):
    return np.rint(255 * imread(BASELINE / f"{name}.png")[..., :3])


def blurred(image):
    """Average blocks of pixels."""
    height, width = (size // BLUR for size in image.shape[:2])
    blocks = image[: height * BLUR, : width * BLUR].reshape(height, BLUR, width, BLUR, 3)
    return blocks.astype(float).mean(axis=(1, 3))


def difference(first, second):
    height, width = np.minimum(first.shape, second.shape)[:2]
    return np.sqrt(np.square(blurred(first[:height, :width]) - blurred(second[:height, :width])).mean())


@pytest.mark.skipif(VERSION < (3, 11), reason="earlier versions of matplotlib lay panels out otherwise")
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_the_stored_ones(name):
    drawn, expected = picture(FIGURES[name]()), stored(name)
    assert np.abs(np.subtract(drawn.shape, expected.shape)).max() <= 1
    assert difference(drawn, expected) < TOLERANCE


@pytest.mark.parametrize("name", FIGURES)
def test_a_change_is_seen(name):
    # The mirror image of a figure, as of an axis drawn in the wrong direction, is another figure.
    assert difference(stored(name), stored(name)[:, ::-1]) > TOLERANCE


def test_no_other_image_is_stored():
    assert {path.stem for path in BASELINE.iterdir()} == set(FIGURES)
