"""The lab with Kedge on it, once for all tests that move VMs."""

from collections.abc import Iterator

import pytest

from kedge.lab import tour
from kedge.lab.cloud import Cloud
from kedge.lab.hypervisor import NO_PLAN_CAN_KNOW

from .acceptance import refused_after_all


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """Control plane and five agents, with networks blue and green; gone at the end, also after failures."""
    with Cloud.up() as made:
        tour.make_networks(made)
        yield made
        assert [error for error in refused_after_all(made) if NO_PLAN_CAN_KNOW not in error] == []


@pytest.fixture(autouse=True)
def last_words(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shows the ends of the processes' logs with a test that fails."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before and "cloud" in request.fixturenames:
        made: Cloud = request.getfixturevalue("cloud")
        print(made.last_words())
