"""A switch for the checks of annotated shapes, where tests run with them."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping


@contextmanager
def without_shape_checks() -> Iterator[None]:
    """Switch off the checks of annotated shapes by jaxtyping, where pytest runs with them.

    Use it for input that is wrong on purpose, so that the error message of the library is tested, and for code that is
    compiled.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
