import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.core.migration.convergence import next_step
from kedge.model.convergence import StallAction, StallStep, schedule_of

ABORT = StallAction.ABORT


def steps(*rounds: int) -> tuple[StallStep, ...]:
    return tuple(StallStep(each, ABORT) for each in rounds)


@given(st.sets(st.integers(1, 30), max_size=6), st.lists(st.integers(0, 40), max_size=60))
def test_each_step_is_due_once_in_order_and_never_too_soon(rounds: set[int], stalls: list[int]) -> None:
    schedule, taken = steps(*sorted(rounds)), 0

    for stalled in stalls:
        step = next_step(schedule, stalled, taken)
        if step is None:
            assert taken == len(schedule) or stalled < schedule[taken].after
        else:
            assert step == schedule[taken] and stalled >= step.after
            taken += 1


def test_steps_that_were_stored_are_read_again() -> None:
    stored = [
        {"after": 2, "do": "downtime", "downtime_ms": 300},
        {"after": 5, "do": "post-copy", "downtime_ms": None},
    ]

    assert schedule_of(stored) == (
        StallStep(2, StallAction.DOWNTIME, 300),
        StallStep(5, StallAction.POST_COPY),
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([{"after": 0, "do": "abort"}], "after is 0; give a number of rounds from 1"),
        ([{"after": 1, "do": "downtime"}], "downtime_ms is None; give a number from 1"),
        ([{"after": 1, "do": "abort", "downtime_ms": 3}], "downtime_ms is for downtime, and not for abort"),
        (
            [{"after": 2, "do": "abort"}, {"after": 2, "do": "abort"}],
            "let each come later than the one before",
        ),
        ([{"after": each, "do": "abort"} for each in range(1, 18)], "has 17 steps; at most 16"),
        ([{"after": 1, "do": "pray"}], "is not a valid StallAction"),
    ],
)
def test_what_can_not_be_is_refused(wrong: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        schedule_of(wrong)
