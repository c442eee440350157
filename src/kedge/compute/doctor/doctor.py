"""The doctor: looks twice, says what is wrong, and on demand puts right what can be put right."""

import threading
import time
from dataclasses import dataclass

import structlog

from kedge.core.doctor import Census, Finding, Remedy, Repair, examine, persisting

from .census import CensusTaker
from .repair import Done, Repairer

log = structlog.get_logger()

PAUSE_S = 3.0
"""Between two looks: longer than agents take between two reports, whose answers explain what was just changed."""

MAX_ROUNDS = 8
"""A repair may bring to light what it hid; what is not right after so many rounds needs a person."""


@dataclass(frozen=True)
class Repaired:
    """What was tried, in its order, and what is still wrong."""

    done: tuple[Done, ...]
    left: tuple[Finding, ...]


class Doctor:
    """Examines and repairs.

    Args:
        taker: takes the looks.
        repairer: makes the repairs.
    """

    def __init__(self, taker: CensusTaker, repairer: Repairer) -> None:
        self._taker = taker
        self._repairer = repairer
        self._one_at_a_time = threading.Lock()

    def examine(self) -> list[Finding]:
        """What is wrong, the worst first."""
        findings, _ = self._examine()
        return findings

    def repair(self) -> Repaired:
        """Put right what can be put right, and look again."""
        with self._one_at_a_time:
            done: list[Done] = []
            tried: set[Repair] = set()
            findings, census = self._examine()
            for _ in range(MAX_ROUNDS):
                made = self._round(findings, census, tried)
                if not made:
                    break
                done += made
                findings, census = self._examine()
            return Repaired(tuple(done), tuple(findings))

    def _examine(self) -> tuple[list[Finding], Census]:
        first = examine(self._taker.take())
        if not first:
            return [], Census()
        time.sleep(PAUSE_S)
        census = self._taker.take()
        return persisting(first, examine(census)), census

    def _round(self, findings: list[Finding], census: Census, tried: set[Repair]) -> list[Done]:
        """Make the repairs that were not tried before; of one server those of one kind, as they change the others."""
        done = []
        begun: dict[str, Remedy] = {}
        for finding in findings:
            repair = finding.repair
            if repair is None or repair in tried:
                continue
            if repair.server_id and begun.setdefault(repair.server_id, repair.remedy) is not repair.remedy:
                continue
            tried.add(repair)
            log.info("repairs", kind=finding.kind, subject=finding.subject, remedy=repair.remedy)
            done.append(self._repairer.make(finding, repair, census.epoch))
        return done


__all__ = ["Doctor", "Repaired"]
