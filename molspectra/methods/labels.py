"""Labels of a batch, in the shape of predictions."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra.layers.precision import at_least_float32


def labels_of(batch: Data, label: str, predicted: Tensor) -> Tensor:
    """Return the labels of a field in the shape and dtype of predictions, NaN where not known.

    Raises:
        ValueError: The field is missing, or has another number of values than the predictions.
    """
    target = batch.get(label)
    if not isinstance(target, Tensor) or target.numel() != predicted.numel():
        got = (
            "none" if target is None else f"{tuple(target.shape)}" if isinstance(target, Tensor) else f"{target!r:.60}"
        )
        raise ValueError(
            f"The batch must have the field {label!r} of shape {tuple(predicted.shape)}; got {got}. Its fields are "
            f"{list(batch.keys())}; name another with label= or forces=.{_level_remedy(batch, target, predicted)}"
        )
    return target.reshape(predicted.shape).to(at_least_float32(predicted).dtype)


def mask_of(batch: Data, mask: str, target: Tensor) -> Tensor:
    """Return the mask of labels to use, in their shape. A mask of whole rows holds for all their values.

    Raises:
        ValueError: The field is missing, is not boolean, or fits neither the labels nor their rows.
    """
    given = batch.get(mask)
    fits = isinstance(given, Tensor) and given.dtype == torch.bool and given.numel() in (target.numel(), len(target))
    if not fits:
        got = f"{given.dtype} of shape {tuple(given.shape)}" if isinstance(given, Tensor) else repr(given)[:60]
        raise ValueError(
            f"The mask {mask!r} must be boolean, of shape {tuple(target.shape)} or ({len(target)},); got {got}. Fields "
            f"of the batch are {list(batch.keys())}."
        )
    shape = target.shape if given.numel() == target.numel() else (len(target), *[1] * (target.dim() - 1))
    return given.reshape(shape)


def _level_remedy(batch: Data, target: object, predicted: Tensor) -> str:
    """Name the other level of regression, where a label per atom meets a prediction per molecule or the reverse."""
    atoms = batch.pos.shape[0]
    if isinstance(target, Tensor) and target.dim() and len(target) == atoms != len(predicted):
        return ' The label has a value per atom: say level="atom", with a head of atoms such as heads.AtomHead.'
    if isinstance(target, Tensor) and target.dim() and len(predicted) == atoms != len(target):
        return " The head predicts a value per atom, the label is of molecules: use a head of molecules."
    return ""
