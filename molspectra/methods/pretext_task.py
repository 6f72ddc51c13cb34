"""Common base of the self-supervised methods."""

from abc import abstractmethod
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._repr import fields_repr
from molspectra._signature import unwrap
from molspectra._validation import needs
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.methods.encoding import check_call


class TaskOutput(NamedTuple):
    """Result of a pretext task on a batch, for further losses on the same forward pass."""

    loss: Tensor
    """Loss of the task, a scalar."""
    atoms: AtomFeatures
    """Features of the altered molecules."""
    data: Data
    """Altered molecules: perturbed, or with masked atoms."""
    parts: dict[str, Tensor]
    """Terms of the loss by name, scalars."""

    def __repr__(self) -> str:
        return fields_repr(self)


# Outputs of the forward passes within a call of `run_task`, the outermost last.
_kept: ContextVar[list[TaskOutput] | None] = ContextVar("kept", default=None)


class PretextTask(Configurable, nn.Module):
    """Base class of self-supervised tasks: alter molecules, encode them, predict the alteration, compare.

    Subclasses implement :meth:`run`. The task owns noise, head and loss. The encoder is an argument of every call.
    """

    preserves_atoms: ClassVar[bool] = True
    """True if altered molecules have the same atoms as the batch, so that its labels apply to them."""
    needs_encoder: ClassVar[bool] = True
    """True if molecules are encoded."""

    @property
    def num_copies(self) -> int:
        """Number of altered copies of each molecule."""
        return 1

    @needs("encoder", "batch", form="method(encoder, batch)")
    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds and context if its signature has them.
            batch: Molecules with `z`, `pos` and the fields that the task needs.
            generator: Source of randomness, on the device of the batch.

        Returns:
            "loss" and its named terms, scalars.

        Raises:
            ValueError: The batch lacks a field, or the encoder lacks features that the task needs.
        """
        check_call(self, encoder, batch, generator)
        output = self.run(encoder, batch, generator)
        keep(output)
        return {"loss": output.loss, **output.parts}

    @abstractmethod
    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Compute the loss of a batch, and return the altered molecules and their features with it.

        Arguments and errors are those of :meth:`forward`.
        """


def run_task(task: nn.Module, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
    """Run a pretext task, bare or in a wrapper, and return features and altered molecules with its losses.

    The task is called, not its method `run`: hooks and wrappers take part, without which DistributedDataParallel would
    leave the gradients of each process as they are. A class of another base, or with a forward that does not
    :func:`keep` its output, is run.
    """
    inside: Any = unwrap(task)
    if not isinstance(inside, PretextTask):
        return inside.run(encoder, batch, generator)
    token = _kept.set([])
    try:
        losses = task(encoder, batch, generator)
        outputs = _kept.get()
    finally:
        _kept.reset(token)
    if not outputs:
        return inside.run(encoder, batch, generator)
    # The losses that the call returned: a wrapper may have put its part of the graph behind them.
    loss, parts = losses["loss"], {name: part for name, part in losses.items() if name != "loss"}
    return outputs[-1]._replace(loss=loss, parts=parts)


def keep(output: TaskOutput) -> None:
    """Hand the output of a forward, which returns losses alone, to :func:`run_task`."""
    outputs = _kept.get()
    if outputs is not None:
        outputs.append(output)
