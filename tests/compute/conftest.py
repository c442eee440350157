"""What all tests of the compute side share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from kedge.compute.migrations import conductor

from .compute_world import ComputeWorld, make_compute_world


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses are there for real hosts; a simulated one is quicker."""
    monkeypatch.setattr(conductor, "LONGEST_PAUSE_S", 0.001)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ComputeWorld]:
    with make_compute_world(tmp_path) as world:
        yield world
