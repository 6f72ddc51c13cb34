"""Checks of the arguments of a call against their annotations."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from torch import Tensor

from molspectra._validation.arguments import check_choice, check_sizes
from molspectra._validation.hints import (
    Misfit,
    choices_of,
    class_of,
    expected,
    find_misfit,
    is_called,
    options_of,
    received,
)
from molspectra._validation.roles import check_role

# Forms of arguments that hold several entries.
_FORMS = {
    "axis": "molspectra.data.IR",
    "axes": "{'ir': molspectra.data.IR}",
    "augmentations": "{'ir': [augmentation, ...]}",
    "layers": "[0, 2]",
    "lengths": "{'ir': molspectra.data.IR} or {'ir': 3501}",
    "methods": '{"coord": (method, 1.0)}',
    "patchers": "specformer.patchers",
    "weights": '{"property": 1.0}',
}

F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Decorate a function or constructor, so that each call checks its arguments against their annotations.

    For functions that are called once, not in every step of a training: a check takes microseconds, and
    `torch.compile` would trace it.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        user = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
        arguments = bind(signature, user, *args, **keywords).arguments
        check_arguments(function, arguments, user)
        result = function(*args, **keywords)
        refuse_nan(arguments, user)  # after checks of ranges, which say more
        return result

    return call  # type: ignore[return-value]


def needs(*names: str, form: str) -> Callable[[F], F]:
    """Decorate a forward, so that a call without its first arguments is told the form of the call.

    `encoder(batch)` and `method(batch)` are natural mistakes, which Python would report from inside of torch.

    Args:
        names: Names of the arguments that are needed, in order.
        form: Form of the call.
    """

    def decorate(forward: F) -> F:
        @functools.wraps(forward)
        def call(self: Any, *args: Any, **keywords: Any) -> Any:
            if len(args) + len(keywords) < len(names):
                got = ", ".join(received(value) for value in (*args, *keywords.values())) or "nothing"
                raise TypeError(f"{type(self).__name__} needs {' and '.join(names)}; got {got}. Call {form}.")
            return forward(self, *args, **keywords)

        return call  # type: ignore[return-value]

    return decorate


def bind(signature: inspect.Signature, user: str, /, *args: Any, **keywords: Any) -> inspect.BoundArguments:
    """Return the arguments of a call by name.

    Raises:
        TypeError: an argument is missing, given twice or unknown.
    """
    try:
        return signature.bind(*args, **keywords)
    except TypeError as error:
        names = ", ".join(name for name in signature.parameters if name != "self")
        raise TypeError(f"{user}: {error}. Its arguments are ({names}).") from None


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any], user: str) -> None:
    """Check that arguments are of the kinds that the annotations of a function state.

    Args:
        function: Function or constructor.
        arguments: Name → value of what it was called with.
        user: Name of it for the message.

    Raises:
        TypeError: a value is of another kind, or an object of another role.
        ValueError: a value is none of the choices, or a number of channels is below 1.
    """
    hints = _hints(function)
    for name, value in arguments.items():
        if name not in hints:
            continue
        if misfit := find_misfit(name, value, hints[name]):
            has_default = inspect.signature(function).parameters[name].default is not inspect.Parameter.empty
            _refuse(misfit, user, has_default)
        if callable(value) and any(map(is_called, options_of(hints[name]))):
            check_role(name, value, user)
        if name.endswith("channels") and isinstance(value, int):
            check_sizes(**{name: value})


def refuse_nan(arguments: Mapping[str, Any], user: str) -> None:
    """Refuse settings that are not a number.

    Raises:
        ValueError: one is NaN.
    """
    for name, value in arguments.items():
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f"{name} of {user} must be a number; got {value}. See where it was computed.")


def _refuse(misfit: Misfit, user: str, has_default: bool) -> None:
    name, value, hint = misfit
    options = options_of(hint)
    choices = [choice for option in options for choice in choices_of(option)]
    if choices and isinstance(value, str) and all(choices_of(option) or option is type(None) for option in options):
        check_choice(name, value, [*choices, *([None] if type(None) in options else [])])
    form = _FORMS.get(name.partition("[")[0])
    remedy = "Leave it out for the default." if value is None and has_default else _remedy(value, hint)
    error = ValueError if choices and isinstance(value, str) else TypeError
    raise error(
        f"{name} of {user} must be {expected(hint)}{f', as in {form}' if form else ''}; got {received(value)}. {remedy}"
    )


def _remedy(value: Any, hint: Any) -> str:
    kinds = {class_of(option) for option in options_of(hint)}
    if isinstance(value, type):
        return f"Pass an object: {value.__name__}(…)."
    if isinstance(value, float) and int in kinds and value.is_integer():
        return f"Write {int(value)}."
    if isinstance(value, str) and kinds & {int, float, bool}:
        return "Write it without quotes."
    if isinstance(value, str) and any(str in get_args(option) for option in options_of(hint)):
        return f"Write [{value!r:.80}]."
    if isinstance(value, np.ndarray) and Tensor in kinds:
        return "Convert it with torch.as_tensor."
    return "Check the order of the arguments."


@functools.cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function)
