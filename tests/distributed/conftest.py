"""Processes shared by all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.distributed.processes import Processes


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    """Up to four processes that wait for work."""
    pool = Processes()
    yield pool
    pool.close()
