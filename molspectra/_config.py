"""Record of the arguments that a module was built with, so that it can be saved as weights and a configuration."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from molspectra._plain import as_plain, refuse_unsavable
from molspectra._validation import bind, check_arguments, refuse_nan


class Configurable:
    """Mixin that records the constructor's arguments, defaults included, in `config`.

    Put it before `nn.Module` in the bases. The arguments must be plain values, containers of them, or Configurable
    objects. :func:`molspectra.pretrained.save` writes them, and refuses others by name. Numbers of NumPy and PyTorch,
    tensors of one number among them, reach the constructor as those of Python.
    """

    config: dict[str, Any]

    def extra_repr(self) -> str:
        """Return the settings, for printing: the present value of every plain argument that is not None."""
        shown = []
        for name, given in self.config.items():
            present = vars(self).get(name)
            text = _setting(given) if present is None else _setting(present) or _setting(given)
            if text:
                shown.append(f"{name}={text}")
        return ", ".join(shown)

    def __repr__(self) -> str:
        return super().__repr__() if isinstance(self, nn.Module) else f"{type(self).__name__}({self.extra_repr()})"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init, signature = cls.__init__, inspect.signature(cls.__init__)
        if init in (object.__init__, nn.Module.__init__):
            cls.config = {}  # the constructor takes no arguments
            return
        if "__init__" not in cls.__dict__:
            # An inherited constructor either records already, or belongs to a class of another library that does not.
            # One that takes any arguments has no names to record them by.
            takes_any = any(parameter.kind.name.startswith("VAR") for parameter in signature.parameters.values())
            if getattr(init, "_records", False) or takes_any:
                return

        @functools.wraps(init)
        def recording_init(self: Any, *args: Any, **keywords: Any) -> None:
            bound = bind(signature, type(self).__name__, self, *args, **keywords)
            bound.apply_defaults()
            own = type(self).__module__.startswith("molspectra.")  # classes of users may take tensors
            for name, value in bound.arguments.items():
                bound.arguments[name] = as_plain(value, arrays=own)
            arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
            if own:
                refuse_unsavable(type(self).__name__, arguments)
            ours = init.__module__.startswith("molspectra.")
            if ours:
                check_arguments(init, arguments, type(self).__name__)
            # The outermost constructor records. Constructors of bases, which it calls, find the record and keep it.
            self.__dict__.setdefault("config", arguments)
            init(*bound.args, **bound.kwargs)
            if ours:  # after checks of ranges, which say more
                refuse_nan(arguments, type(self).__name__)

        recording_init._records = True  # type: ignore[attr-defined]
        cls.__init__ = recording_init  # type: ignore[method-assign]


def _setting(value: Any) -> str:
    """Return a short text of a plain value, of a container of them, or of a part that is no module; "" of others."""
    if value is None or isinstance(value, nn.Module):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool | int | str | Configurable):
        return repr(value)
    if isinstance(value, Mapping):
        items = {key: _setting(item) for key, item in value.items()}
        return "{" + ", ".join(f"{key!r}: {item}" for key, item in items.items()) + "}" if all(items.values()) else ""
    if isinstance(value, list | tuple):
        texts = [_setting(item) for item in value]
        return f"[{', '.join(texts)}]" if all(texts) else ""
    return ""
