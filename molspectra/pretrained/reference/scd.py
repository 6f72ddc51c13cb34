"""Refusal of the checkpoints of self-conditioned denoising."""

from collections.abc import Mapping
from typing import Any


def refuse_scd(checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse a checkpoint of self-conditioned denoising, known by the norms that its condition modulates.

    Raises:
        ValueError: It is one.
    """
    state = checkpoint.get("state_dict", checkpoint)
    if isinstance(state, Mapping) and any("conditional_ln" in str(name) for name in state):
        raise ValueError(
            f"{source} holds the encoder of self-conditioned denoising (SCD), whose layers are modulated by its "
            "condition. It is not implemented here: its norm of vectors acts on their x, y and z, which breaks "
            "rotation. Pre-train an encoder of this library with molspectra.methods.SCD."
        )
