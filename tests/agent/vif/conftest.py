from collections.abc import Iterator

import pytest
from vif_world import World, world


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[World]:
    """A host of the case that `vif_world.cases` chose."""
    with world(request.param) as made:
        yield made
