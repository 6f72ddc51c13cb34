"""One front for all published formats."""

from pathlib import Path

import torch

from molspectra._validation import checked
from molspectra.pretrained.construction_dtype import construction_dtype
from molspectra.pretrained.reference.checkpoint import ReferenceCheckpoint
from molspectra.pretrained.reference.emgp import emgp_state, import_emgp
from molspectra.pretrained.reference.lightning import import_lightning, is_lightning
from molspectra.pretrained.reference.reading import read_checkpoint
from molspectra.pretrained.reference.scd import refuse_scd


@checked
def load_reference(path: str | Path) -> ReferenceCheckpoint:
    """Import a checkpoint of MolSpectra, Coord, Frad or SliDe (equivariant transformers), or of 3D-EMGP (EGNN).

    Sizes are read off the weights and the stored hyper-parameters. Every tensor of the file must find its place, in a
    part or in `extras`. Nothing in the file is executed. All parts are on the CPU.

    From Frad and SliDe, files with TorchMD-Net's equivariant transformer are imported, whose release normalizes scalars
    between layers without weights, and vectors with weights. The files that SliDe's authors published hold F2D
    (:class:`molspectra.encoders.GET`). Files of self-conditioned denoising are refused.

    Args:
        path: The published file: a Lightning .ckpt of MolSpectra, Coord, Frad or SliDe, or the file of 3D-EMGP or
            its tensors by the same names in a .safetensors.

    Returns:
        The parts, in the arithmetic they were trained with.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is no such checkpoint, uses an option that is not implemented, or its tensors do not
            fit. All missing, unexpected and mis-shaped keys are listed.
    """
    checkpoint = read_checkpoint(path)
    refuse_scd(checkpoint, str(path))
    with construction_dtype(torch.float32):  # that of all published files
        if is_lightning(checkpoint):
            return import_lightning(checkpoint, str(path))
        state = emgp_state(checkpoint)
        if state is not None:
            return import_emgp(state, str(path))
    names = sorted(map(str, checkpoint))
    raise ValueError(
        f"{path} is no Lightning checkpoint (a dict with state_dict and hyper_parameters), and none of 3D-EMGP "
        f"(tensors named module.*, at the top or below model); its {len(names)} keys are {', '.join(names[:20])}"
        f"{', …' if len(names) > 20 else ''}."
    )
