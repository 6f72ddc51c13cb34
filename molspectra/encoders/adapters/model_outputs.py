"""Check of the features that a model from elsewhere returns."""

from typing import Any

from torch import Tensor

from molspectra.encoders.base import Molecules
from molspectra.features import AtomFeatures


def as_atom_features(returned: Any, molecules: Molecules, channels: int) -> AtomFeatures:
    """Return scalars, a pair of scalars and vectors, or atom features as atom features.

    Args:
        returned: Output of a model.
        molecules: Molecules that the model has read. Their N atoms are expected, and the dtype of their positions is
            that of the features: under autocast, models may return another one.
        channels: Expected width F.

    Raises:
        TypeError: It is nothing of the kind.
        ValueError: The shapes are not those of features of these atoms.
    """
    parts = _by_degree(returned)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        of = f" of {', '.join(type(part).__name__ for part in returned)}" if isinstance(returned, tuple) else ""
        raise TypeError(
            "The model must return scalars (N, F), a pair (scalars, vectors (N, 3, F)) or AtomFeatures; got a "
            f"{type(returned).__name__}{of}."
        )
    num_atoms = molecules.num_atoms
    expected = [(num_atoms, channels), *((num_atoms, 2 * l + 1, channels) for l in range(1, len(parts)))]
    if (shapes := [tuple(part.shape) for part in parts]) != expected:
        raise ValueError(
            f"The model must return features of {num_atoms} atoms and out_channels={channels}, of shape {expected}; "
            f"got {shapes}. Return the features ahead of its pooling, and check out_channels."
        )
    scalars, *others = (part.to(molecules.pos.dtype) for part in parts)
    return AtomFeatures(scalars, others[0] if others else None, tuple(others[1:]))


def _by_degree(returned: Any) -> list[Any]:
    """Return the scalars, vectors, … of an output, or an empty list if an output of this type is not allowed."""
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, AtomFeatures):
        parts = [returned.scalars, returned.vectors, *returned.tensors]
    elif isinstance(returned, tuple) and len(returned) == 2:
        parts = [*returned]
    else:
        return []
    return parts[:1] if parts[1] is None else parts
