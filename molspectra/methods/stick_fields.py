"""Fields of a batch that hold the lines of its molecules."""

from collections.abc import Iterable

import torch
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._validation import check_fields, values_are_free
from molspectra.spectra.sticks import Sticks


def sticks_of(batch: Data, kinds: Iterable[str]) -> Sticks:
    """Read the lines of the molecules of a batch from its fields `sticks` and `num_sticks`.

    Raises:
        ValueError: A field is missing, the columns do not fit the kinds, the numbers do not add up, or (checked for CPU
            tensors) a position is not finite.
    """
    kinds, molecules = list(kinds), num_molecules_of(batch)
    remedy = "Set them on each molecule: sticks (S, 1 + kinds), num_sticks = torch.tensor([S])."
    check_fields(batch, ("sticks", "num_sticks"), "A loss of lines", remedy)
    sticks, numbers = batch.sticks, batch.num_sticks
    if sticks.dim() != 2 or sticks.shape[1] != 1 + len(kinds) or numbers.shape != (molecules,):
        raise ValueError(
            f"sticks must have the columns position, {', '.join(kinds)}, (S, {1 + len(kinds)}), and num_sticks the "
            f"shape ({molecules},); got {tuple(sticks.shape)} and {tuple(numbers.shape)}. {remedy}"
        )
    if values_are_free(sticks):
        if int(numbers.sum()) != len(sticks):
            raise ValueError(f"num_sticks must add up to the {len(sticks)} rows of sticks; got {int(numbers.sum())}.")
        if not bool(sticks[:, 0].isfinite().all()):
            raise ValueError("sticks must have finite positions, in column 0. Leave the lines that have none out.")
    index = torch.arange(molecules, device=sticks.device).repeat_interleave(numbers, output_size=len(sticks))
    position, *intensities = sticks.unbind(dim=1)
    return Sticks(position, dict(zip(kinds, intensities, strict=True)), index, molecules)
