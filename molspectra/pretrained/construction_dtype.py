"""Construction of modules in a stated dtype."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def construction_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Build modules in a dtype, whatever the default is: a default of bfloat16 would round weights and constants."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(default)
