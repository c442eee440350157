from collections.abc import Iterator
from pathlib import Path

import pytest

from .vif_world import World, is_wanted, world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items[:] = [item for item in items if item.path.parent != here or is_wanted(item)]


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[World]:
    """A host of the case that `vif_world.cases` chose."""
    with world(request.param) as made:
        yield made
