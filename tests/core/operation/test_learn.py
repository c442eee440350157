"""What is learned of migrations that have ended is what they were made with."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.core.operation import Changed, Finished, TransferModel, learn

ASSUMED = TransferModel(assumed_dirty_mib=0)


def one_after_the_other(
    sizes: Sequence[float], fixed_s: float, rate_mib: float, at_once: int = 1, slowdown: float = 0.0
) -> Iterator[Finished]:
    """Groups of so many that begin and end together, so each slows the others down all the time."""
    now_s = 100.0
    for memory_mib in sizes:
        slower = 1 + slowdown * (at_once - 1)
        copy_s = memory_mib / rate_mib * slower
        took_s = fixed_s * slower + copy_s
        for _ in range(at_once):
            yield Finished(memory_mib, now_s, now_s + took_s, copy_s=copy_s, pause_ms=80, lag_s=0.7)
        now_s += took_s


@given(
    st.lists(st.sampled_from([512.0, 1024.0, 4096.0, 16384.0]), min_size=3, max_size=12),
    st.floats(0.1, 30),
    st.floats(5, 5000),
)
def test_rate_and_fixed_part_come_out_as_they_went_in(
    sizes: list[float], fixed_s: float, rate_mib: float
) -> None:
    model = learn(list(one_after_the_other(sizes, fixed_s, rate_mib)), ASSUMED)

    assert model.copy_mib == pytest.approx(rate_mib)
    assert model.fixed_s == pytest.approx(fixed_s, abs=1e-3)
    assert (model.lag_s, model.pause_ms, model.learned_from) == (0.7, 80, len(sizes))


@pytest.mark.parametrize("slowdown", [0.0, 0.25, 1.0])
def test_how_migrations_slow_each_other_down_is_told_by_those_that_had_company(slowdown: float) -> None:
    alone = list(one_after_the_other([1024, 2048, 4096], 3, 500))
    crowded = [
        replace(each, began_s=each.began_s + 1000, ended_s=each.ended_s + 1000)
        for each in one_after_the_other([1024, 2048, 4096], 3, 500, at_once=3, slowdown=slowdown)
    ]

    model = learn([*alone, *crowded], ASSUMED)

    assert model.slowdown == pytest.approx(slowdown)
    assert model.fixed_s == pytest.approx(3)


def test_without_a_difference_no_slowdown_is_learned_but_its_cost_is() -> None:
    model = learn(list(one_after_the_other([1024] * 4, 3, 500, at_once=2, slowdown=0.5)), ASSUMED)

    assert model.slowdown == 0
    assert model.fixed_s == pytest.approx(4.5)


def test_a_few_odd_ones_change_little() -> None:
    usual = list(one_after_the_other([1024, 2048, 4096] * 3, 3, 500))
    hung = Finished(1024, 5000, 9000, copy_s=3000)

    model = learn([*usual, hung], ASSUMED)

    assert model.fixed_s == pytest.approx(3, rel=0.1)
    assert model.copy_mib == pytest.approx(500, rel=0.1)


def test_what_failed_counts_only_as_company() -> None:
    usual = list(one_after_the_other([1024] * 3, 3, 500))
    failed = [replace(each, completed=False, ended_s=each.began_s + 0.1, pause_ms=None) for each in usual]

    assert learn([*usual, *failed], ASSUMED).learned_from == 3
    assert learn(failed, ASSUMED) == ASSUMED


def test_too_little_history_leaves_what_is_assumed() -> None:
    assert learn(list(one_after_the_other([1024] * 2, 3, 500)), ASSUMED) == ASSUMED
    assert learn([], ASSUMED) == ASSUMED


def test_time_that_does_not_grow_with_memory_is_no_error() -> None:
    odd = [
        Finished(memory, at, at + 5, copy_s=copy)
        for at, memory, copy in [(0, 512, 3.0), (10, 1024, 2.0), (20, 2048, 1.0), (30, 2048, 0.0)]
    ]

    model = learn(odd, ASSUMED)

    assert model.copy_mib == ASSUMED.copy_mib
    assert model.fixed_s + 1536 / model.copy_mib == pytest.approx(5)


def test_how_long_hosts_were_changed_is_a_median_whatever_is_known_of_migrations() -> None:
    changed = [Changed(5, 1), Changed(90, 2), Changed(7, 3)]
    assert learn([], ASSUMED, changed) == replace(ASSUMED, convert_s=7, try_s=2)


def test_hosts_that_were_changed_like_the_next_one_count_alone() -> None:
    changed = [Changed(5, 1, alike=False), Changed(90, 2), Changed(7, 3, alike=False)]
    assert learn([], ASSUMED, changed) == replace(ASSUMED, convert_s=90, try_s=2)
    assert learn([], ASSUMED, changed[::2]) == replace(ASSUMED, convert_s=6, try_s=2)
