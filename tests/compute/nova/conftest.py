"""One world for each file: making it takes longer than most of what is asked of it."""

from collections.abc import Iterator

import pytest

from .nova_world import NovaWorld, make_nova_world


@pytest.fixture(scope="module")
def nova(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NovaWorld]:
    with make_nova_world(tmp_path_factory.mktemp("nova")) as world:
        yield world
