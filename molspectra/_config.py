"""Modules that remember how they were built, so that they can be saved as weights plus a readable configuration."""

import functools
import inspect
from typing import Any

from torch import nn


class Configurable:
    """Mixin that records the constructor's arguments, defaults included, in `config`.

    Put it before `nn.Module` in the bases. The arguments must be plain values, containers of them, or Configurable
    objects themselves; :func:`molspectra.pretrained.save` writes them and says so where one is not.
    """

    config: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init, signature = cls.__init__, inspect.signature(cls.__init__)
        if init in (object.__init__, nn.Module.__init__):
            cls.config = {}  # nothing to be built with
            return
        if "__init__" not in cls.__dict__:
            # Inherited: from a class that records already, or from one (someone else's) that does not. A constructor
            # that takes anything says nothing that could be recorded.
            takes_any = any(parameter.kind.name.startswith("VAR") for parameter in signature.parameters.values())
            if getattr(init, "_records", False) or takes_any:
                return

        @functools.wraps(init)
        def recording_init(self: Any, *args: Any, **keywords: Any) -> None:
            bound = signature.bind(self, *args, **keywords)
            bound.apply_defaults()
            # The outermost constructor records; those of its bases that it calls find the record made.
            arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
            self.__dict__.setdefault("config", arguments)
            init(self, *args, **keywords)

        recording_init._records = True  # type: ignore[attr-defined]
        cls.__init__ = recording_init  # type: ignore[method-assign]
