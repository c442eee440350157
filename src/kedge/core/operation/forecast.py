"""How long it takes to copy a running VM's memory, and how long the VM stands still at the end: a model of pre-copy.

In each round what the guest wrote during the round before is sent, the whole memory in the first. QEMU pauses the VM
once the rest can be sent within the downtime limit, and Kedge lifts that limit round by round (`core.migration.pace`)
up to the policy's ceiling. What becomes of a transfer that makes no progress is up to the policy, too.
"""

from dataclasses import dataclass, replace

from kedge.core.migration.convergence import next_step
from kedge.core.migration.pace import LOWEST_MS, PATIENCE
from kedge.model.convergence import StallAction
from kedge.model.server import MigrationOptions, TimeoutAction

_MOST_ROUNDS = 64
"""By then every limit is the highest and the guest as slow as it gets, so what remains changes no more."""

_NEW_LOW = 0.999

# QEMU's auto-converge (migration/ram.c, its defaults): the guest gets slower by so much after each second round in
# which it wrote more than half of what was sent.
_FIRST_THROTTLE, _NEXT_THROTTLE, _MOST_THROTTLE = 0.20, 0.10, 0.99
_HIGH, _TIMES_HIGH = 0.5, 2

_FASTEST_MIB = 1e6
USUAL = MigrationOptions()


@dataclass(frozen=True)
class Forecast:
    """How long copying takes in s, with the pause, and the pause in ms.

    `how` it is ended if not by what every migration does: `auto-converge`, `force-complete` or `post-copy`.
    """

    copy_s: float
    downtime_ms: float
    how: str = ""


@dataclass
class _Course:
    """A transfer between two of its rounds."""

    remaining_mib: float
    spent_s: float = 0.0
    low_mib: float = float("inf")
    low_s: float = 0.0
    low_round: int = 0
    steps: int = 0
    asked_ms: int = 0
    throttle: float = 0.0
    high: int = 0

    def ended(self, rest_ms: float, how: str = "") -> Forecast:
        """The VM stands still while the rest is sent; by post-copy it runs on the destination meanwhile."""
        slowed = "auto-converge" if self.throttle else ""
        return Forecast(
            self.spent_s + rest_ms / 1000, 0.0 if how == TimeoutAction.POST_COPY else rest_ms, how or slowed
        )

    def mark(self, done: int) -> None:
        """Note a new low."""
        if self.remaining_mib < self.low_mib * _NEW_LOW:
            self.low_mib, self.low_s, self.low_round = self.remaining_mib, self.spent_s, done

    def slow_down(self, sent_mib: float) -> None:
        """As QEMU does with the guest after a round."""
        if self.remaining_mib <= _HIGH * sent_mib:
            return
        self.high += 1
        if self.high >= _TIMES_HIGH:
            self.high = 0
            more = _NEXT_THROTTLE if self.throttle else _FIRST_THROTTLE
            self.throttle = min(self.throttle + more, _MOST_THROTTLE)


def forecast(
    memory_mib: float, dirty_mib: float, rate_mib: float, options: MigrationOptions = USUAL
) -> Forecast | None:
    """What copying this much memory at this rate comes to; None if it would not end, or be aborted."""
    course = _Course(memory_mib)
    for done in range(_MOST_ROUNDS):
        rest_ms = course.remaining_mib / rate_mib * 1000
        if done and rest_ms <= max(_limit_ms(options, done), course.asked_ms):
            return course.ended(rest_ms)
        course.mark(done)
        if done:
            action = _due(course, done, options)
            if action is not None:
                return None if action == StallAction.ABORT else course.ended(rest_ms, action)
        course.spent_s += rest_ms / 1000
        sent_mib = course.remaining_mib
        written = dirty_mib * (1 - course.throttle) * rest_ms / 1000
        course.remaining_mib = min(memory_mib, written)
        if options.auto_converge:
            course.slow_down(sent_mib)
    times = _times(options)
    if options.timeout_action is TimeoutAction.ABORT or not times:
        return None
    course.spent_s = max(course.spent_s, min(times))
    return course.ended(course.remaining_mib / rate_mib * 1000, options.timeout_action)


def _limit_ms(options: MigrationOptions, done: int) -> int:
    if options.downtime_limit_ms is not None:
        return options.downtime_limit_ms
    return min(LOWEST_MS << min(done // PATIENCE, 10), options.downtime_ceiling_ms)


def _due(course: _Course, done: int, options: MigrationOptions) -> str | None:
    """How the transfer is ended between two rounds, if it is."""
    completion, progress = options.completion_timeout_s, options.progress_timeout_s
    late = completion is not None and course.spent_s >= completion
    if late or (progress is not None and course.spent_s - course.low_s >= progress):
        return options.timeout_action
    step = next_step(options.schedule, done - course.low_round, course.steps)
    if step is None:
        return None
    course.steps += 1
    if step.do is not StallAction.DOWNTIME:
        return step.do
    course.asked_ms = max(course.asked_ms, step.downtime_ms or 0)
    return None


def _times(options: MigrationOptions) -> list[float]:
    return [each for each in (options.completion_timeout_s, options.progress_timeout_s) if each is not None]


def gives_up_s(options: MigrationOptions) -> float:
    """When a migration that does not end is given up: one without time-outs by a person, who is as patient as usual."""
    return min(_times(options) or _times(USUAL))


def remedies(
    memory_mib: float, dirty_mib: float, rate_mib: float, options: MigrationOptions = USUAL
) -> list[str]:
    """What would let a transfer end that does not."""
    tried = {
        "auto-converge": replace(options, auto_converge=True),
        "post-copy": replace(
            options, timeout_action=TimeoutAction.POST_COPY, compression="", compression_level=None
        ),
    }
    found = [name for name, other in tried.items() if forecast(memory_mib, dirty_mib, rate_mib, other)]
    enough = rate_mib
    while enough <= _FASTEST_MIB and not forecast(memory_mib, dirty_mib, enough, options):
        enough *= 1.1
    return found + ([f"{enough:.0f} MiB/s"] if enough <= _FASTEST_MIB else [])
