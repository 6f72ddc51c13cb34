"""The checks of annotations that every other test runs with."""

import jaxtyping
import pytest
import torch

from molspectra.geometry import radius_graph
from molspectra.noise import CoordNoise

checked = pytest.mark.skipif(
    "not config.getoption('jaxtyping_packages')", reason="runs with shape checks: pytest without --jaxtyping-packages="
)


@checked
def test_an_int_is_accepted_where_a_float_is_annotated() -> None:
    assert CoordNoise(std=1).std == 1


@checked
def test_a_string_is_refused_where_a_float_is_annotated() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="cutoff"):
        radius_graph(torch.zeros(4, 3), None, cutoff="5.0")


@checked
def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="pos"):
        radius_graph(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), cutoff=5.0)
