"""Facts about a checkpoint."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from molspectra._repr import fields_of, html_table
from molspectra.pretrained.reading import Reading


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Facts about a checkpoint of the package, or a published one.

    Where its authors say nothing, a field is "unknown" or None.

    Example:
        >>> known = ms.pretrained.checkpoint_info("3d-emgp")
        >>> known.method, known.license, known.status
        ('3D-EMGP', 'MIT', 'fetched')
    """

    name: str
    """Name for :func:`molspectra.pretrained.load`."""
    method: str
    """Pre-training method."""
    status: Literal["shipped", "fetched", "by hand", "not importable", "not published"]
    """Answer of `load`: it reads the weights of the package, fetches the file, reads it from where you put it, or says
    why it cannot be loaded."""
    source: str
    """Address of the page that offers it."""
    license: str
    """License of the weights where the authors state one, otherwise that of their repository."""
    trained_on: str
    """Data set and noise."""
    format: str
    """Format of the file."""
    citation: str
    """The paper."""
    url: str | None = None
    """Address of the file itself."""
    size: int | None = None
    """Size of the file in bytes."""
    sha256: str | None = None
    """Checksum of the file."""
    note: str = ""
    """Further facts, or why it cannot be loaded."""
    reading: Reading | None = None
    """Layers and pooling that :func:`molspectra.embed` reads by default. None: the sum of the output."""

    def __repr__(self) -> str:
        return f"Checkpoint({self.name!r}, method={self.method!r}, status={self.status!r}, license={self.license!r})"

    def _repr_html_(self) -> str:
        facts = [(name.replace("_", " "), fact) for name, fact in fields_of(self).items() if fact not in (None, "")]
        return html_table(f"Checkpoint {self.name}", (), facts)

    @property
    def path(self) -> Path:
        """Place of the file in the cache, where `load` keeps it or expects it to be put by hand.

        A model of the package has a folder, with its weights and its model card, README.md.
        """
        if self.status == "shipped":
            return Path(__file__).parent / "weights" / self.name
        return cache_dir() / f"{self.name}.ckpt"

    @property
    def available(self) -> bool:
        """True if `load` gives it now or after a download, without anything done by hand."""
        return self.status in ("shipped", "fetched") or (self.status == "by hand" and self.path.is_file())


def cache_dir() -> Path:
    """Return the folder of published files: MOLSPECTRA_CACHE of the environment, by default ~/.cache/molspectra."""
    return Path(os.environ.get("MOLSPECTRA_CACHE") or "~/.cache/molspectra").expanduser()
