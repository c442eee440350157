"""Choosing the downtime limit by what has to be copied, and seeing when that does not get less.

QEMU stops the VM once it expects to send the rest within the limit, and then the VM stands still for as long
as that takes: an idle VM whose limit is 300 ms does stand still for 300 ms, with memory that could have been
copied while it ran. So the limit starts low and grows only for a VM that dirties memory faster than that.
"""

from dataclasses import dataclass

from kedge.model.domain import JobProgress

LOWEST_MS = 15
HIGHEST_MS = 2000
UNLIMITED_MS = 2_000_000
"""QEMU takes no higher limit (its MAX_MIGRATE_DOWNTIME); a VM whose limit this is stands still until all is copied."""

PATIENCE = 3
"""How many rounds over the dirty memory are made with one limit before it grows."""


def first_limit_ms(chosen: int | None) -> int:
    """The limit to begin with: what a person chose, or the lowest."""
    return chosen if chosen is not None else LOWEST_MS


def next_limit_ms(current_ms: int, progress: JobProgress, highest_ms: int = HIGHEST_MS) -> int:
    """The limit for what is seen now, never below the current one.

    In round n of the dirty memory the limit may be what n // PATIENCE doublings of the lowest give, and
    no more than sending all that remains would take: a higher limit would not end the migration earlier.
    """
    if progress.iteration < PATIENCE or progress.memory_bps <= 0:
        return current_ms
    doubled = LOWEST_MS << min(progress.iteration // PATIENCE, 10)
    needed_ms = 2 * progress.memory_remaining * 1000 // progress.memory_bps
    return max(current_ms, min(doubled, needed_ms, highest_ms))


def ends_within(before: JobProgress, now: JobProgress, ms: int) -> bool:
    """Whether the VM may pause within so many ms, by how much less memory remains now than at the look before.

    From the second round on, that is at any moment. (QEMU's own rate says nothing of pages that are empty.)
    """
    copied = before.memory_remaining - now.memory_remaining
    took_ms = now.elapsed_ms - before.elapsed_ms
    return now.iteration > 1 or now.memory_remaining * took_ms <= ms * copied


@dataclass(frozen=True)
class LowMark:
    """The least memory that ever remained to be copied, in bytes, and when that was reached: in s, and in which round.

    A busy guest makes the remaining memory go up and down; only a new low is progress (oVirt's rule).
    """

    remaining: int
    at_s: float
    round: int = 0

    def stalled_s(self, now_s: float) -> float:
        """For how long there was no progress."""
        return now_s - self.at_s


def low_mark(before: LowMark | None, progress: JobProgress, now_s: float) -> LowMark:
    """The low mark with what is seen now."""
    if before is None or progress.memory_remaining < before.remaining:
        return LowMark(progress.memory_remaining, now_s, progress.iteration)
    return before
