"""What is done with a migration whose memory does not become less."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST_STEPS = 16


class StallAction(StrEnum):
    """What is done: QEMU may plan for a longer pause, or the transfer is ended in one of the ways of a time-out."""

    DOWNTIME = "downtime"
    ABORT = "abort"
    FORCE_COMPLETE = "force-complete"
    POST_COPY = "post-copy"


@dataclass(frozen=True)
class StallStep:
    """One step of a convergence schedule, as oVirt's migration policies have them.

    Attributes:
        after: so many rounds over the dirty memory without progress; see `core.migration.convergence`.
        do: what is done then.
        downtime_ms: the pause that QEMU may plan for from then on; only of `downtime`.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's, and no field

    after: int
    do: StallAction
    downtime_ms: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "do", StallAction(self.do))
        if not 1 <= self.after <= 1000:
            raise ValueError(f"after is {self.after}; give a number of rounds from 1 to 1000")
        if self.do is not StallAction.DOWNTIME:
            if self.downtime_ms is not None:
                raise ValueError(f"downtime_ms is for {StallAction.DOWNTIME}, and not for {self.do}")
        elif self.downtime_ms is None or not 1 <= self.downtime_ms <= 2_000_000:
            raise ValueError(f"downtime_ms is {self.downtime_ms}; give a number from 1 to 2000000")


def schedule_of(steps: Sequence[StallStep | Mapping[str, Any]]) -> tuple[StallStep, ...]:
    """The steps, as they were stored too. Raises ValueError if they are too many, or not one after another."""
    schedule = tuple(each if isinstance(each, StallStep) else StallStep(**each) for each in steps)
    if len(schedule) > MOST_STEPS:
        raise ValueError(f"the schedule has {len(schedule)} steps; at most {MOST_STEPS} are allowed")
    rounds = [each.after for each in schedule]
    if rounds != sorted(set(rounds)):
        raise ValueError(
            f"the steps of the schedule come after {rounds} rounds; let each come later than the one before"
        )
    return schedule
