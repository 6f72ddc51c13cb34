"""The checkpoints that are known to be published: where they are, what they hold, and fetching them."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from molspectra._download import download
from molspectra.pretrained.reference import ReferenceCheckpoint, load_reference


@dataclass(frozen=True)
class Checkpoint:
    """A published checkpoint. What its authors do not tell is "unknown" or None.

    Example:
        >>> known = info("3d-emgp")
        >>> known.method, known.license, known.status
        ('3D-EMGP', 'MIT', 'fetched')
    """

    name: str
    """What :func:`molspectra.pretrained.load` takes."""
    method: str
    """The pre-training method."""
    status: Literal["fetched", "by hand", "not importable", "not published"]
    """Whether `load` fetches it, finds it where you put it, or says why it cannot be had."""
    source: str
    """Address of the page that offers it."""
    license: str
    """Licence of the repository it comes from; where authors license weights apart from code, that counts."""
    trained_on: str
    """Data set and noise."""
    format: str
    """What the file is."""
    citation: str
    """The paper."""
    url: str | None = None
    """Address of the file itself."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    """Checksum."""
    note: str = ""
    """What else one should know, or why it cannot be had."""

    @property
    def path(self) -> Path:
        """Where the file is kept, or to be put by hand."""
        return cache_dir() / f"{self.name}.ckpt"


_LIGHTNING = "PyTorch Lightning checkpoint, for load_reference"
_COORD = "Zaidi et al. 2023, ICLR, arXiv:2206.00133"
_FRAD = "Feng et al. 2023, ICML, PMLR 202:9938-9961"
_FRAD_NMI = (
    "Enhancing molecular property prediction with chemical priors by fractional denoising (Frad, journal version)"
)
_SLIDE = "Ni et al. 2024, ICLR, Sliced Denoising: A Physics-Informed Molecular Pre-Training Method"
_EMGP = "Jiao et al. 2023, AAAI, arXiv:2207.08824"
_F2D = "Its encoder is F2D (GET), which carries features of edges, angles and torsions and is not implemented here."
_UNPUBLISHED = "Its authors published no weights. Pre-train with molspectra.methods, see the examples."
_FRAD_DATA = "PCQM4Mv2; torsion noise 2°, then coordinate noise 0.04 Å"
_SLIDE_SOURCE = "https://figshare.com/articles/software/Pre-trained_model_for_Sliced_Denoising_A_Physics-Informed_Molecular_Pre-Training_Method/25990648"
_SLIDE_DATA = "PCQM4Mv2; noise and energy of bonds, angles and torsions by OpenFF 2.0.0"

CHECKPOINTS: dict[str, Checkpoint] = {
    known.name: known
    for known in (
        Checkpoint(
            name="coord-pcqm4mv2",
            method="Coord",
            status="fetched",
            source="https://github.com/shehzaidi/pre-training-via-denoising",
            url="https://github.com/shehzaidi/pre-training-via-denoising/raw/HEAD/checkpoints/denoised-pcqm4mv2.ckpt",
            license="MIT",
            trained_on="PCQM4Mv2; coordinate noise 0.04 Å",
            format=_LIGHTNING,
            citation=_COORD,
        ),
        Checkpoint(
            name="frad-qm9",
            method="Frad",
            status="by hand",
            source="https://drive.google.com/file/d/1O6f6FzYogBS2Mp4XsdAAEN4arLtLH38G/view",
            license="MIT",
            trained_on=_FRAD_DATA,
            format=_LIGHTNING,
            citation=_FRAD,
            note="Meant for fine-tuning on QM9.",
        ),
        Checkpoint(
            name="frad-md17",
            method="Frad",
            status="by hand",
            source="https://drive.google.com/file/d/19slj94zSjOsNDYagwYfxfrsylRuwx3Hp/view",
            license="MIT",
            trained_on=_FRAD_DATA,
            format=_LIGHTNING,
            citation=_FRAD,
            note="Meant for fine-tuning on MD17.",
        ),
        Checkpoint(
            name="frad-nmi-qm9",
            method="Frad",
            status="by hand",
            source="https://zenodo.org/records/12697467",
            license="MIT",
            trained_on="PCQM4Mv2",
            format=_LIGHTNING,
            citation=_FRAD_NMI,
            note="Meant for fine-tuning on QM9; one of the files of that record.",
        ),
        Checkpoint(
            name="frad-nmi-forces",
            method="Frad",
            status="by hand",
            source="https://zenodo.org/records/12697467",
            license="MIT",
            trained_on="PCQM4Mv2; coordinate noise 0.4 Å by the released settings, 0.04 Å by the paper",
            format=_LIGHTNING,
            citation=_FRAD_NMI,
            note="Meant for fine-tuning on forces (MD17, MD22, ISO17); one of the files of that record.",
        ),
        Checkpoint(
            name="slide-qm9",
            method="SliDe",
            status="not importable",
            source=_SLIDE_SOURCE,
            license="MIT",
            trained_on=_SLIDE_DATA,
            format=_LIGHTNING,
            citation=_SLIDE,
            note=_F2D,
        ),
        Checkpoint(
            name="slide-md17",
            method="SliDe",
            status="not importable",
            source=_SLIDE_SOURCE,
            license="MIT",
            trained_on=_SLIDE_DATA + "; and coordinate noise 0.04 Å",
            format=_LIGHTNING,
            citation=_SLIDE,
            note=_F2D,
        ),
        Checkpoint(
            name="3d-emgp",
            method="3D-EMGP",
            status="fetched",
            source="https://github.com/jiaor17/3D-EMGP",
            url="https://raw.githubusercontent.com/jiaor17/3D-EMGP/7872f19faa1bc3d86d3586213f693ffe0ef46b59/checkpoints/checkpoint-3dmgp",
            license="MIT",
            trained_on="GEOM-QM9; 50 noise levels from 10 Å to 0.01 Å",
            format="tensors written by torch.save, for load_reference",
            citation=_EMGP,
            note="941,114 weights: EGNN, 7 layers, 128 channels.",
        ),
        Checkpoint(
            name="molspectra",
            method="MolSpectra",
            status="not published",
            source="https://github.com/AzureLeon1/MolSpectra",
            license="unknown: the repository has no licence file",
            trained_on="PCQM4Mv2, then QM9S spectra",
            format=_LIGHTNING,
            citation="Wang et al. 2025, ICLR, arXiv:2502.16284",
            note=_UNPUBLISHED + " What its scripts write is read by load_reference.",
        ),
        Checkpoint(
            name="empp",
            method="EMPP",
            status="not published",
            source="https://github.com/ajy112/EMPP",
            license="unknown: the repository has no licence file",
            trained_on="unknown",
            format="unknown",
            citation="An et al. 2025, ICLR, arXiv:2502.08209",
            note=_UNPUBLISHED,
        ),
    )
}
"""Name → what is known of a checkpoint."""


def list() -> tuple[str, ...]:
    """Names of the checkpoints that :func:`molspectra.pretrained.info` knows.

    Example:
        >>> "coord-pcqm4mv2" in list()
        True
    """
    return tuple(CHECKPOINTS)


def info(name: str) -> Checkpoint:
    """What is known of a published checkpoint.

    Args:
        name: One of :func:`molspectra.pretrained.list`.

    Returns:
        Its source, licence, training data, format and so on.

    Raises:
        ValueError: there is no such name; the known and the nearest are named.

    Example:
        >>> info("coord-pcqm4mv2").trained_on
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


def cache_dir() -> Path:
    """Where published files are kept: MOLSPECTRA_CACHE of the environment, by default ~/.cache/molspectra."""
    return Path(os.environ.get("MOLSPECTRA_CACHE") or "~/.cache/molspectra").expanduser()


def load_published(name: str) -> ReferenceCheckpoint:
    """Fetch a published checkpoint, unless it is in the cache, and import its parts.

    Args:
        name: One of :func:`molspectra.pretrained.list`.

    Returns:
        Its parts, in the arithmetic they were trained with.

    Raises:
        ValueError: there is no such name, the file holds another encoder, or it is not what it should be.
        FileNotFoundError: it has to be fetched by hand, or was never published.
        ConnectionError: it cannot be fetched, or the environment forbids to.
    """
    known = info(name)
    if known.status == "not importable":
        raise ValueError(f"{name} cannot be imported. {known.note} The file is at {known.source}.")
    if known.status == "not published":
        raise FileNotFoundError(f"{name} cannot be had. {known.note}")
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
