"""Record of the arguments that a module was built with, so that it can be saved as weights and a configuration."""

import functools
import inspect
from types import MappingProxyType
from typing import Any

from torch import nn


class Configurable:
    """Mixin that records the constructor's arguments, defaults included, in `config`.

    Put it before `nn.Module` in the bases. The arguments must be plain values, containers of them, or Configurable
    objects. :func:`molspectra.pretrained.save` writes them, and refuses others by name.
    """

    config: dict[str, Any]

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
            bound = signature.bind(self, *args, **keywords)
            bound.apply_defaults()
            arguments = {name: _plain(value) for name, value in bound.arguments.items() if name != "self"}
            # The outermost constructor records. Constructors of bases, which it calls, find the record and keep it.
            self.__dict__.setdefault("config", arguments)
            init(self, *args, **keywords)

        recording_init._records = True  # type: ignore[attr-defined]
        cls.__init__ = recording_init  # type: ignore[method-assign]


def _plain(value: Any) -> Any:
    """Return a read-only view of a dict as a dict, which can be copied and pickled with the module."""
    return dict(value) if isinstance(value, MappingProxyType) else value
