"""One front for all sources of weights: directories, the Hugging Face Hub and published checkpoints."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from molspectra._validation import checked
from molspectra.pretrained.directory import CONFIG_FILE, load_directory
from molspectra.pretrained.hub import from_pretrained
from molspectra.pretrained.published import load_known
from molspectra.pretrained.zoo import CHECKPOINTS


@checked
def load(directory_or_name: str | Path, classes: Iterable[type] = ()) -> Any:
    """Rebuild a module that :func:`molspectra.pretrained.save` wrote, or fetch a checkpoint by its name.

    * A directory that `save` wrote gives the module, in its dtype, in evaluation mode, on the CPU.
    * "hf://user/repo" or, at a revision, "hf://user/repo@v1", gives the same from the Hugging Face Hub (extra `hub`).
    * A name in `molspectra.pretrained.list_checkpoints()`, unless `save` has written a directory of that name, gives
      a model of the package: its encoder, or the pair `encoder, specformer`. If it names a published checkpoint, it
      gives the parts, as :func:`molspectra.pretrained.load_reference` does.

    Args:
        directory_or_name: One of these. Published files are kept in the folder that the environment variable
            MOLSPECTRA_CACHE names, by default ~/.cache/molspectra.
        classes: Your own classes that the configuration may name, beside those of this library.

    Returns:
        The module with its weights, or an :class:`molspectra.pretrained.EncoderPair`, or a
        :class:`molspectra.pretrained.ReferenceCheckpoint`, whose `encoder` and other parts are modules.

    Raises:
        FileNotFoundError: the directory does not hold both files, or the published file cannot be fetched automatically
            (the message says how to get it).
        ValueError: a file is damaged, the configuration names an unknown class, the weights do not fit, or the name is
            unknown.
        ConnectionError: the file cannot be fetched, or the environment forbids it (MOLSPECTRA_OFFLINE=1).

    Example:
        >>> encoder, specformer = load("molspectra-mini")
        >>> specformer.kinds
        ('ir', 'raman')
    """
    name = str(directory_or_name)
    if name.startswith("hf://"):
        repo_id, _, revision = name.removeprefix("hf://").partition("@")
        return from_pretrained(repo_id, revision=revision or None, classes=classes)
    # A folder that happens to have the name of a checkpoint, such as this library's own sources, does not hide it.
    is_name = isinstance(directory_or_name, str) and name in CHECKPOINTS and not (Path(name) / CONFIG_FILE).exists()
    is_path = isinstance(directory_or_name, Path) or Path(name).exists() or {"/", os.sep} & set(name)
    return load_known(name) if is_name or not is_path else load_directory(Path(directory_or_name), classes)
