"""What all tests of the doctor share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from kedge.compute.doctor import doctor
from kedge.compute.migrations import conductor

from .doctor_world import DoctorWorld, make_doctor_world


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses are there for real hosts; a simulated one is quicker."""
    monkeypatch.setattr(conductor, "LONGEST_PAUSE_S", 0.001)
    monkeypatch.setattr(doctor, "PAUSE_S", 0.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DoctorWorld]:
    with make_doctor_world(tmp_path) as world:
        yield world
