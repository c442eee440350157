"""Comparing times of different hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.compute.hosts.clock import HostClock

HOUR = 3_600_000_000_000


def test_without_a_sample_the_clocks_are_the_same() -> None:
    assert HostClock().ours(5) == 5


@pytest.mark.parametrize("skew", [0, HOUR, -HOUR])
def test_an_even_exchange_gives_the_offset(skew: int) -> None:
    clock = HostClock()
    clock.sample(1_000, 1_500 + skew, 2_000)
    assert clock.ours(1_700 + skew) == 1_700


def test_the_quickest_exchange_counts() -> None:
    clock = HostClock()
    clock.sample(0, 90, 100)
    clock.sample(200, 205, 210)
    clock.sample(300, 390, 400)
    assert clock.ours(205) == 205


@given(
    skew=st.integers(-HOUR, HOUR),
    exchanges=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1),
    at=st.integers(0, HOUR),
)
def test_it_is_wrong_by_no_more_than_half_of_the_quickest(
    skew: int, exchanges: list[tuple[int, int]], at: int
) -> None:
    """There and back may take differently long."""
    clock, now = HostClock(), 0
    for there, back in exchanges:
        clock.sample(now, now + there + skew, now + there + back)
        now += there + back
    quickest = min(there + back for there, back in exchanges)
    assert abs(clock.ours(at + skew) - at) <= quickest // 2 + 1
