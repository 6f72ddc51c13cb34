"""Transforms of functions under which a forward runs: torch.func, forward-mode derivatives, tracers.

Parts of PyTorch that are not public are confined to this file.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor, peek_interpreter_stack
from torch.autograd import forward_ad
from torch.nn import Parameter

Result = TypeVar("Result")

_RECORDING = (torch._C._TorchDispatchModeKey.PROXY, torch._C._TorchDispatchModeKey.FAKE)


def is_transformed(*gradients: Tensor | None) -> bool:
    """Return True inside `torch.func` transforms and `vmap`, and in forward mode.

    A custom autograd function without rules for these stands aside for plain operations then. A compiled graph
    consists of plain operations anyway. Its backward also asks
    for its `gradients`: `vectorize=True` and `is_grads_batched=True` of `torch.autograd` pass many at once.
    """
    if torch.compiler.is_compiling():
        return False
    if peek_interpreter_stack() is not None or forward_ad._current_level >= 0:
        return True
    return any(gradient is not None and is_legacy_batchedtensor(gradient) for gradient in gradients)


def is_functional() -> bool:
    """Return True inside `torch.func` transforms and `vmap`, which forbid ordinary autograd and some writes."""
    return not torch.compiler.is_compiling() and peek_interpreter_stack() is not None


@contextmanager
def updating_statistics(owner: str) -> Iterator[None]:
    """Explain why running statistics cannot be written inside a transform that has not been given them.

    Raises:
        RuntimeError: they cannot.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_functional():
            raise
        raise RuntimeError(
            f"{owner} updates running statistics in training mode, which torch.func allows only for buffers that the "
            "function takes as an argument: torch.func.functional_call(module, (weights, buffers), ...), with one copy "
            "of the buffers per member under vmap, and return the buffers (has_aux=True). Or keep the statistics as "
            "they are, with this part in evaluation mode (part.eval())."
        ) from error


def nested_forward_mode() -> AbstractContextManager[None]:
    """Return the context for the forward-mode rule of a custom autograd function.

    PyTorch calls the rule with forward mode switched off. A derivative of it would silently lack this function's part.
    """
    return forward_ad._set_fwd_grad_enabled(True)


def primals(duals: Iterable[Tensor]) -> list[Tensor]:
    """Return tensors without the tangents of this level of forward mode, and with those of all levels around it."""
    return [forward_ad.unpack_dual(dual).primal for dual in duals]


def is_traced() -> bool:
    """Return True while `torch.compile`, `torch.export` or `torch.jit.trace` records operations.

    A loop over blocks would be recorded with the number of blocks of the example.
    """
    return torch.compiler.is_compiling() or is_jit_traced()


def is_jit_traced() -> bool:
    """Return True while `torch.jit.trace` records operations, which cannot write custom autograd functions down."""
    return torch._C._get_tracing_state() is not None


def has_values(tensor: Tensor) -> bool:
    """Return True if the values of a tensor can be read: outside of transforms and tracers, and if it is no fake."""
    if is_traced() or peek_interpreter_stack() is not None:
        return False
    # Fake and functional tensors are subclasses. In the modes of make_fx ordinary ones are recorded, too.
    return type(tensor) in (Tensor, Parameter) and not any(map(torch._C._get_dispatch_mode, _RECORDING))


@torch.compiler.disable(reason="Noise and masks stay in eager mode.")  # type: ignore[untyped-decorator]
def in_eager_mode(call: Callable[..., Result], *arguments: object) -> Result:
    """Call a noise or a mask, which a graph of `torch.compile` leaves before and enters again after.

    A compiled graph can neither copy a `Data` nor draw from a generator, which fails at the second batch size.
    """
    return call(*arguments)
