"""The lab, once for all tests that need it."""

from collections.abc import Iterator

import pytest

from kedge.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab that is up; it is removed at the end, also after failures and when a test took it down."""
    try:
        yield Lab.up()
    finally:
        Lab.down()
