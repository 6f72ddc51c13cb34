"""Parameters of callables: inspected once, and still right after a forward has been wrapped or replaced."""

import functools
import gc
import inspect
import weakref

import pytest
import torch
from torch import nn

from molspectra import _signature
from molspectra._signature import Parameters, parameters_of, takes


class Encoder(nn.Module):
    def forward(self, z, pos, batch=None, *, context=None):
        return pos


class CallableObject:
    def __call__(self, z, pos, batch, bond_index=None):
        return pos


def function(z, pos, batch, **others):
    return pos


@pytest.fixture
def inspections(monkeypatch):
    """The callables that are inspected, in order; nothing is remembered at first."""
    seen = []
    inspect_signature = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda call: seen.append(call) or inspect_signature(call))
    monkeypatch.setattr(_signature, "_FREE", weakref.WeakKeyDictionary())
    monkeypatch.setattr(_signature, "_BOUND", weakref.WeakKeyDictionary())
    return seen


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (function, Parameters(("z", "pos", "batch"), takes_any=True)),
        (Encoder(), Parameters(("z", "pos", "batch", "context"))),
        (Encoder().forward, Parameters(("z", "pos", "batch", "context"))),
        (Encoder.forward, Parameters(("self", "z", "pos", "batch", "context"))),
        (CallableObject(), Parameters(("z", "pos", "batch", "bond_index"))),
        (functools.partial(function, 1), Parameters(("pos", "batch"), takes_any=True)),
        (functools.partial(Encoder(), context=1), Parameters(("z", "pos", "batch", "context"))),
        (functools.partial(functools.partial(Encoder(), 1), 2), Parameters(("batch", "context"))),
        (nn.DataParallel(Encoder()), Parameters(("z", "pos", "batch", "context"))),
        (torch.compile(Encoder(), backend="eager"), Parameters(("z", "pos", "batch", "context"))),
        (torch.compile(function, backend="eager"), Parameters(("z", "pos", "batch"), takes_any=True)),
    ],
    ids=[
        "function",
        "module",
        "bound method",
        "unbound method",
        "object",
        "partial of a function",
        "partial of a module",
        "partial of a partial",
        "wrapped module",
        "compiled module",
        "compiled function",
    ],
)
def test_a_callable_is_inspected_once(call, expected, inspections):
    for _ in range(3):
        assert parameters_of(call) == expected
        assert takes(call, "context") == ("context" in expected.names or expected.takes_any)
    # A wrapper shows by its signature that it is one, and is inspected beside the callable inside.
    assert len(inspections) == 1 + isinstance(call, nn.DataParallel)


def test_modules_of_a_class_are_inspected_once_together(inspections):
    assert takes(Encoder(), "context")
    assert takes(Encoder(), "context")
    assert len(inspections) == 1


def test_a_bound_method_and_its_function_are_told_apart(inspections):
    assert "self" in parameters_of(Encoder.forward).names
    assert "self" not in parameters_of(Encoder().forward).names


def test_a_replaced_forward_is_seen():
    encoder, other = Encoder(), Encoder()
    assert takes(encoder, "context")
    encoder.forward = lambda z, pos, batch, bond_order: pos
    assert not takes(encoder, "context")
    assert takes(encoder, "bond_order")
    assert takes(other, "context")
    del encoder.forward
    assert takes(encoder, "context")


def test_a_forward_replaced_in_the_class_is_seen(monkeypatch):
    assert takes(Encoder(), "context")
    monkeypatch.setattr(Encoder, "forward", lambda self, z, pos, batch: pos)
    assert not takes(Encoder(), "context")


def test_a_wrapped_forward_is_seen():
    encoder = Encoder()
    assert takes(encoder, "context")
    inner = encoder.forward

    @functools.wraps(inner)
    def faithful(*args, **keywords):
        return inner(*args, **keywords)

    encoder.forward = faithful
    assert parameters_of(encoder).names == ("z", "pos", "batch", "context")
    encoder.forward = lambda *args, **keywords: inner(*args, **keywords)
    assert parameters_of(encoder) == Parameters(("z", "pos", "batch", "context"))


def test_a_replaced_forward_is_seen_through_a_wrapper():
    encoder = Encoder()
    wrapped = functools.partial(nn.DataParallel(encoder), batch=None)
    assert takes(wrapped, "context")
    encoder.forward = lambda z, pos, batch: pos
    assert not takes(wrapped, "context")


def test_nothing_is_kept_alive():
    def local(z, pos):
        return pos

    assert takes(local, "z")
    gone = weakref.ref(local)
    del local
    gc.collect()
    assert gone() is None


def test_an_object_without_weak_references_is_inspected_every_time(inspections):
    class Slotted:
        __slots__ = ()

        def __call__(self, z, pos, batch):
            return pos

    call = Slotted()
    assert takes(call, "batch")
    assert not takes(call, "context")
    assert len(inspections) == 2


def test_a_builtin_has_no_parameters():
    assert parameters_of(dict.fromkeys) == Parameters(("iterable", "value"))
    assert parameters_of(max) == Parameters()
