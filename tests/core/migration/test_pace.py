"""The downtime limit: low for an idle VM, growing only for one that dirties its memory faster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.core.migration.pace import (
    HIGHEST_MS,
    LOWEST_MS,
    PATIENCE,
    ends_within,
    first_limit_ms,
    next_limit_ms,
)
from kedge.model.domain import JobProgress

MIB = 1024 * 1024


@pytest.mark.parametrize(("chosen", "first"), [(None, LOWEST_MS), (300, 300), (1, 1), (0, 0)])
def test_what_a_person_chose_is_taken(chosen: int | None, first: int) -> None:
    assert first_limit_ms(chosen) == first


@pytest.mark.parametrize(
    ("current", "iteration", "remaining_mib", "mib_per_s", "limit"),
    [
        pytest.param(15, 0, 1000, 100, 15, id="the first pass"),
        pytest.param(15, PATIENCE - 1, 1000, 100, 15, id="still patient"),
        pytest.param(15, PATIENCE, 1000, 100, 30, id="one doubling"),
        pytest.param(15, 2 * PATIENCE, 1000, 100, 60, id="two doublings"),
        pytest.param(60, 2 * PATIENCE + 1, 1000, 100, 60, id="no further until the next"),
        pytest.param(15, 3 * PATIENCE, 2, 100, 40, id="no more than what remains needs, twice"),
        pytest.param(15, 3 * PATIENCE, 0, 100, 15, id="nothing remains"),
        pytest.param(15, 100 * PATIENCE, 100_000, 100, HIGHEST_MS, id="never above the highest"),
        pytest.param(15, 3 * PATIENCE, 1000, 0, 15, id="no rate is known yet"),
        pytest.param(500, 3 * PATIENCE, 1000, 100, 500, id="never lower than it is"),
    ],
)
def test_limits(current: int, iteration: int, remaining_mib: int, mib_per_s: int, limit: int) -> None:
    progress = JobProgress(
        iteration=iteration, memory_remaining=remaining_mib * MIB, memory_bps=mib_per_s * MIB
    )
    assert next_limit_ms(current, progress) == limit


numbers = st.integers(min_value=0, max_value=2**50)
progresses = st.builds(
    JobProgress, iteration=st.integers(0, 10_000), memory_remaining=numbers, memory_bps=numbers
)


@given(current=st.integers(0, 10_000), progress=progresses)
def test_it_never_falls_and_is_bounded(current: int, progress: JobProgress) -> None:
    limit = next_limit_ms(current, progress)
    assert current <= limit <= max(current, HIGHEST_MS)


@given(current=st.integers(LOWEST_MS, HIGHEST_MS), progress=progresses)
def test_the_same_again_changes_nothing(current: int, progress: JobProgress) -> None:
    once = next_limit_ms(current, progress)
    assert next_limit_ms(once, progress) == once


@given(current=st.integers(LOWEST_MS, HIGHEST_MS), progress=progresses)
def test_it_is_no_more_than_what_remains_takes_twice(current: int, progress: JobProgress) -> None:
    limit = next_limit_ms(current, progress)
    if limit > current:
        assert limit * progress.memory_bps <= 2000 * progress.memory_remaining


@pytest.mark.parametrize(
    ("remaining", "elapsed_ms", "iteration", "ends"),
    [
        (900, 200, 1, False),  # 100 in 200 ms: 1800 ms more
        (300, 200, 1, True),  # 700 in 200 ms
        (1000, 200, 1, False),
        (0, 200, 1, True),
        (999, 200, 2, True),  # it goes around the dirty memory, and may pause at the end of each round
    ],
)
def test_when_the_end_of_the_copying_is_near(
    remaining: int, elapsed_ms: int, iteration: int, ends: bool
) -> None:
    before = JobProgress(memory_remaining=1000)
    now = JobProgress(memory_remaining=remaining, elapsed_ms=elapsed_ms, iteration=iteration)
    assert ends_within(before, now, ms=1000) is ends
