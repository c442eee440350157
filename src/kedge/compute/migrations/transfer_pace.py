"""Seeing to it that a running transfer ends: its limits as a person wants them by now, and what becomes of a stall."""

import time
from typing import Any

import structlog

from kedge.core.migration import Intent
from kedge.core.migration.convergence import next_step
from kedge.core.migration.pace import UNLIMITED_MS, LowMark, first_limit_ms, low_mark, next_limit_ms
from kedge.model.convergence import StallAction, StallStep
from kedge.model.domain import JobProgress
from kedge.model.errors import KedgeError
from kedge.model.server import Migration, MigrationOptions, Phase, TimeoutAction
from kedge.wire.messages import TransferTuning

from ..records.plain_records import Noted
from .actor import Tools

log = structlog.get_logger()


class TransferPace:
    """One conductor's hand on one transfer, while memory is copied and the VM runs on the source.

    `limit_ms` is the downtime limit that it was told last.
    """

    def __init__(self, migration: Migration, epoch: int, tools: Tools) -> None:
        self._migration, self._epoch, self._tools = migration, epoch, tools
        self.limit_ms = first_limit_ms(migration.options.downtime_limit_ms)
        self._rate_mib = migration.options.rate_mib
        self._told_rate = self._told_limit = True
        self._low_mark: LowMark | None = None
        self._hurried = False
        # How many steps of the schedule were taken, and the limit that they asked for. A new conductor begins anew.
        self._steps = self._scheduled_ms = 0

    def inherit(self) -> None:
        """Another conductor ordered the transfer, and may have told it something else than what is known here."""
        self._told_rate = self._told_limit = False

    def heed(self, wanted: Intent, progress: JobProgress) -> None:
        """Change the transfer as far as what is wanted, or how far it has come, asks for it."""
        options = wanted.options
        self._set_rate(options.rate_mib)
        if options.complete_now:
            self._hurry(TimeoutAction.FORCE_COMPLETE, "somebody asked for it")
            return
        why = wanted.overdue or self._stalled(options, progress)
        step = next_step(options.schedule, self._stalled_rounds(progress), self._steps)
        if why:
            self._end_sooner(options.timeout_action, why)
        elif step is not None:
            self._take(step)
        elif options.downtime_limit_ms is None:
            self._lift_limit(next_limit_ms(self.limit_ms, progress, options.downtime_ceiling_ms))
        elif not self._hurried:
            self._set_limit(max(options.downtime_limit_ms, self._scheduled_ms))

    def _stalled(self, options: MigrationOptions, progress: JobProgress) -> str | None:
        """Says so when the memory that remains has not become less for too long. A new conductor counts anew."""
        self._low_mark = low_mark(self._low_mark, progress, time.monotonic())
        limit = options.progress_timeout_s
        if limit is None or self._low_mark.stalled_s(time.monotonic()) < limit:
            return None
        return f"no progress was made for {limit:g} s"

    def _stalled_rounds(self, progress: JobProgress) -> int:
        return 0 if self._low_mark is None else progress.iteration - self._low_mark.round

    def _take(self, step: StallStep) -> None:
        """A step of the schedule; one that could not be done is due again at the next look."""
        why = f"no progress was made in {step.after} rounds"
        if step.do is StallAction.DOWNTIME:
            self._scheduled_ms = step.downtime_ms or 0
            done = self._lift_limit(self._scheduled_ms)
        else:
            done = self._end_sooner(TimeoutAction(step.do.value), why)
        if done:
            self._steps += 1
            log.info("a step of the schedule was taken", migration=self._migration.id, step=step.do, why=why)

    def _end_sooner(self, chosen: TimeoutAction, why: str) -> bool:
        """The time is up: abort, or do what the person chose instead. Says whether it could be done."""
        if chosen is TimeoutAction.ABORT:
            self._tools.migrations.give_up(self._migration.id, self._epoch, why)
            return True
        return self._hurry(chosen, why)

    def _hurry(self, chosen: TimeoutAction, why: str) -> bool:
        goes_over = chosen is TimeoutAction.POST_COPY
        done = self._tune(postcopy=True) if goes_over else self._lift_limit(UNLIMITED_MS)
        if done and not self._hurried:
            self._hurried = True
            detail = {"why": why, "done": chosen.value}
            self._tools.migrations.write(self._migration.id, self._epoch, Noted(Phase.HURRIED, detail=detail))
        return done

    def _lift_limit(self, limit_ms: int) -> bool:
        return limit_ms <= self.limit_ms or self._set_limit(limit_ms)

    def _set_limit(self, limit_ms: int) -> bool:
        if limit_ms == self.limit_ms and self._told_limit:
            return True
        if not self._tune(downtime_limit_ms=limit_ms):
            return False
        self.limit_ms, self._told_limit = limit_ms, True
        return True

    def _set_rate(self, rate_mib: int) -> None:
        if rate_mib == self._rate_mib and self._told_rate:
            return
        if self._tune(bandwidth_mib=rate_mib):
            self._rate_mib, self._told_rate = rate_mib, True

    def _tune(self, **changed: Any) -> bool:
        tuning = TransferTuning(epoch=self._epoch, **changed)
        try:
            self._tools.agents.agent(self._migration.source).tune_transfer(self._migration.id, tuning)
        except KedgeError as error:
            why = "the running transfer could not be changed"
            log.info(why, migration=self._migration.id, error=str(error))
            return False
        return True
