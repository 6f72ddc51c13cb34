"""Check that a module compiles, in few graphs, and to the same numbers."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree
from torch_geometric.data import Data


def assert_compiles(
    module: nn.Module,
    calls: Iterable[Mapping[str, Any]],
    *,
    max_graphs: int = 2,
    backend: str = "aot_eager",
    fullgraph: bool = True,
    tolerance: float = 1e-5,
) -> None:
    """Check that a module compiles to few graphs for tensors of any size, and then computes the same as in eager mode.

    The module is compiled with `dynamic=True`. It and an eager copy are called with the arguments of each of `calls` in
    turn, with the same random numbers. Their outputs, gradients and buffers are compared. The gradients are those of a
    random combination of the outputs, by parameters and by arguments that require one. Under `torch.no_grad()` only
    outputs and buffers are compared.

    Args:
        module: Module under test, which stays as it is.
        calls: Keyword arguments of each call, of different sizes.
        max_graphs: Largest number of graphs for all of the calls. Torch compiles a size of 1 separately: a module whose
            arguments have one varying size, as atoms, has 2 graphs.
        backend: "aot_eager" traces forward and backward. "inductor" also generates code, which can take minutes.
        fullgraph: Refuse graph breaks.
        tolerance: Largest error, relative to the largest number of a tensor where that exceeds 1.

    Raises:
        AssertionError: Results differ.
        torch._dynamo.exc.FailOnRecompileLimitHit: More graphs would be needed. `TORCH_LOGS=recompiles` tells why.

    Example:
        >>> from molspectra.testing import assert_compiles
        >>> calls = [{"input": torch.rand(rows, 3)} for rows in (4, 1, 7)]
        >>> assert_compiles(torch.nn.Linear(3, 2), calls, backend="eager")
    """
    import torch._dynamo.config  # here, since it takes a second

    torch.compiler.reset()
    eager, traced = copy.deepcopy(module), copy.deepcopy(module)
    compiled = torch.compile(traced, backend=backend, fullgraph=fullgraph, dynamic=True)
    renamed = hasattr(torch._dynamo.config, "recompile_limit")  # in torch 2.7
    settings = {
        "recompile_limit" if renamed else "cache_size_limit": max_graphs,
        "fail_on_recompile_limit_hit" if renamed else "fail_on_cache_limit_hit": True,
        # Floats in the code end up as constants anyway. Without this, a first change compiles everything twice.
        "specialize_float": True,
    }
    with torch._dynamo.config.patch(settings):
        for number, call in enumerate(calls):
            expected, actual = _results(eager, eager, call), _results(compiled, traced, call)
            assert actual.keys() == expected.keys()
            for name, value in expected.items():
                _compare(actual[name], value, tolerance, f"{name} of call {number}")


def _results(forward: Callable[..., Any], module: nn.Module, call: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return outputs of a call, gradients of a fixed combination of them, and buffers of the module after the call."""
    torch.manual_seed(0)
    module.zero_grad()
    arguments = _pytree.tree_map_only((Tensor, Data), _copy_leaf, dict(call))
    outputs = [leaf for leaf in _pytree.tree_leaves(forward(**arguments)) if isinstance(leaf, Tensor)]
    results = {f"output {number}": output for number, output in enumerate(outputs)}
    differentiable = [output for output in outputs if output.requires_grad]
    if differentiable:
        generator = torch.Generator().manual_seed(1)
        draws = [torch.randn(each.shape, generator=generator, dtype=torch.float32) for each in differentiable]
        weights = [draw.to(output) for draw, output in zip(draws, differentiable, strict=True)]
        torch.autograd.backward(differentiable, weights)
    results |= {f"gradient by {name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    results |= {f"gradient by {name}": grad for name, grad in _gradients_of_arguments(arguments)}
    return results | {f"buffer {name}": buffer.clone() for name, buffer in module.named_buffers()}


def _gradients_of_arguments(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Yield the gradients by all tensors in the arguments, in molecules too, where they have one."""
    leaves = _pytree.tree_leaves(arguments)
    inputs = (tensor for leaf in leaves for tensor in (leaf.to_dict().values() if isinstance(leaf, Data) else (leaf,)))
    for number, tensor in enumerate(inputs):
        if isinstance(tensor, Tensor) and tensor.grad is not None:
            yield f"argument {number}", tensor.grad


def _copy_leaf(leaf: Tensor | Data) -> Tensor | Data:
    """Copy a tensor, or molecules with all their tensors, as new leaves of the graph."""
    if isinstance(leaf, Tensor):
        return leaf.detach().clone().requires_grad_(leaf.requires_grad)
    copied = copy.copy(leaf)
    for name, value in leaf.to_dict().items():
        if isinstance(value, Tensor):
            copied[name] = _copy_leaf(value)
    return copied


def _compare(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    floating = expected.is_floating_point() and expected.numel() > 0
    scale = max(1.0, float(expected.detach().nan_to_num().abs().max())) if floating else 1.0
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=tolerance * scale, equal_nan=True, msg=lambda text: f"{what}, compiled: {text}"
    )
