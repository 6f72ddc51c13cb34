"""One front for everything that can be loaded: directories, the Hugging Face Hub and published checkpoints."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from molspectra.pretrained.checkpoint import CONFIG_FILE, load_directory
from molspectra.pretrained.hub import from_pretrained
from molspectra.pretrained.zoo import CHECKPOINTS, load_published


def load(directory_or_name: str | Path, classes: Iterable[type] = ()) -> Any:
    """Rebuild a module that :func:`molspectra.pretrained.save` wrote, or fetch a checkpoint by its name.

    * A directory that `save` wrote: the module comes back, in its dtype, in evaluation mode, on the CPU.
    * "hf://user/repo" or, at a revision, "hf://user/repo@v1": the same from the Hugging Face Hub (extra `hub`).
    * A name that `molspectra.pretrained.list` knows, if `save` has not written a directory of that name: the parts of
      the published checkpoint come back, as :func:`molspectra.pretrained.load_reference` gives them.

    Args:
        directory_or_name: One of these. Published files are kept in the folder that the environment variable
            MOLSPECTRA_CACHE names, by default ~/.cache/molspectra.
        classes: Your own classes that the configuration may name; those of this library are known.

    Returns:
        The module with its weights; or a :class:`molspectra.pretrained.ReferenceCheckpoint`, whose `encoder` and other
        parts are modules.

    Raises:
        FileNotFoundError: the directory does not hold both files; or the file is published where it cannot be fetched
            from automatically (the message says what to do).
        ValueError: a file is damaged, the configuration names an unknown class, or the weights do not fit; or there is
            no such name.
        ConnectionError: the file cannot be fetched, or the environment forbids to (MOLSPECTRA_OFFLINE=1).
    """
    name = str(directory_or_name)
    if name.startswith("hf://"):
        repo_id, _, revision = name.removeprefix("hf://").partition("@")
        return from_pretrained(repo_id, revision=revision or None, classes=classes)
    # A folder that happens to be called like a checkpoint, as the sources of this library are, does not hide it.
    is_name = isinstance(directory_or_name, str) and name in CHECKPOINTS and not (Path(name) / CONFIG_FILE).exists()
    is_path = isinstance(directory_or_name, Path) or Path(name).exists() or {"/", os.sep} & set(name)
    return load_published(name) if is_name or not is_path else load_directory(Path(directory_or_name), classes)
