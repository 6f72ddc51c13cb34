"""Known checkpoints by name: their list, their facts, and fetching them."""

import difflib

from torch import nn

from molspectra._download import download
from molspectra._validation import checked
from molspectra.pretrained.card import Checkpoint
from molspectra.pretrained.reference.checkpoint import ReferenceCheckpoint
from molspectra.pretrained.reference.loading import load_reference
from molspectra.pretrained.shipped import EncoderPair, load_shipped
from molspectra.pretrained.zoo import CHECKPOINTS


@checked
def list_checkpoints(available: bool | None = None) -> tuple[str, ...]:
    """Return the names of the known checkpoints, those of the package first.

    `molspectra.pretrained.list` is the same function. `python -m molspectra list` prints them with how to get each.

    Args:
        available: True for those that `load` gives now or after a download, False for those that have to be fetched by
            hand, or cannot be had. None for all.

    Example:
        >>> list_checkpoints(available=True)[:2]
        ('coord-mini', 'molspectra-mini')
    """
    return tuple(name for name, known in CHECKPOINTS.items() if available in (None, known.available))


@checked
def checkpoint_info(name: str) -> Checkpoint:
    """Return the facts about a checkpoint: source, license, training data, format and so on.

    `molspectra.pretrained.info` is the same function.

    Args:
        name: One of :func:`molspectra.pretrained.list_checkpoints`.

    Raises:
        ValueError: the name is unknown. The message lists the known names, and the nearest one.

    Example:
        >>> checkpoint_info("coord-pcqm4mv2").trained_on
        'PCQM4Mv2; coordinate noise 0.04 Å'
    """
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    nearest = difflib.get_close_matches(name.lower(), CHECKPOINTS, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(
        f"name must be one of {', '.join(CHECKPOINTS)}, a directory written by molspectra.pretrained.save, or "
        f"hf://user/repo; got {name!r}.{hint}"
    )


def load_known(name: str) -> nn.Module | EncoderPair | ReferenceCheckpoint:
    """Load a model of the package, or fetch a published checkpoint, unless it is in the cache, and import its parts.

    Args:
        name: One of :func:`molspectra.pretrained.list_checkpoints`.

    Returns:
        The encoder, or encoder and SpecFormer, of a model of the package. The parts of a published checkpoint, in the
        arithmetic they were trained with.

    Raises:
        ValueError: the name is unknown, the file holds another encoder, or it is not the published file.
        FileNotFoundError: the file has to be fetched by hand, or was never published.
        ConnectionError: the file cannot be fetched, or the environment forbids it.
    """
    known = checkpoint_info(name)
    if known.status == "shipped":
        return load_shipped(known)
    if known.status == "not importable":
        raise ValueError(f"{name} cannot be imported. {known.note} The file is at {known.source}.")
    if known.status == "not published":
        raise FileNotFoundError(f"{name} cannot be loaded. {known.note}")
    if known.url is not None:
        download(known.url, known.path, known.sha256, size=known.size)
    elif not known.path.is_file():
        raise FileNotFoundError(
            f"{name} cannot be fetched automatically: get it at {known.source} and pass the file to "
            f"molspectra.pretrained.load_reference, or put it at {known.path} and load it by its name. {known.note}"
        )
    try:
        return load_reference(known.path)
    except ValueError as error:
        remedy = f"If {known.path} is not the published file, delete it and load {name} again."
        raise ValueError(f"{error} {remedy}") from error
