"""Tables of data sets for notebooks."""

from typing import Any

import torch
from torch import Tensor

from molspectra._repr import html_table, shape_of


def dataset_html(dataset: Any) -> str:
    """Return a table of the fields of the first molecule, under the representation of the data set."""
    if len(dataset) == 0:
        return html_table(repr(dataset), (), [])
    with torch.random.fork_rng(devices=[]):  # a transform may draw random numbers, and showing must change nothing
        first = dataset[0]
    rows = [
        (name, shape_of(value), str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else "")
        for name, value in first.to_dict().items()
    ]
    return html_table(repr(dataset), ("field of the first molecule", "shape", "dtype"), rows)
