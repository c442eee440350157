"""One trial: a migration, a strike at a step of it, and how long it takes until all is as it must be."""

import time
from dataclasses import dataclass, field
from typing import Any

from kedge.model.errors import CannotMigrate, KedgeError
from kedge.model.server import Phase

from ..connection import Connection
from .cloud import ChaosCloud
from .invariants import Guest, shortcomings
from .victims import Victim

PATIENCE_S = 75.0
SLOW_MIB = 20
"""A migration that is to be struck while it copies is slowed down to this many MiB/s."""

LOOK_S = 0.003
TOO_LATE = "too late"


@dataclass
class Result:
    """What became of a trial. `seconds` is from the strike until everything held; None if it never did."""

    victim: str
    step: str
    way: str
    struck_at: str = TOO_LATE
    outcome: str = ""
    seconds: float | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """It came in time, and ended as it must."""
        return self.in_time and self.ended_well

    @property
    def ended_well(self) -> bool:
        """All was whole in the end, whether it was struck in time or not."""
        return self.seconds is not None and not self.wrong

    @property
    def in_time(self) -> bool:
        """Whether the migration was under way when it was struck."""
        return self.struck_at != TOO_LATE


def wait_for_end(
    cloud: ChaosCloud, each: str, until: float, kind: str = "migrations"
) -> dict[str, Any] | None:
    """The migration, or operation, with this id once it has ended; None if not by then (monotonic clock, seconds)."""
    while time.monotonic() < until:
        try:
            found: dict[str, Any] = cloud.get(f"/kedge/v1/{kind}/{each}")
        except KedgeError:
            time.sleep(0.1)
            continue
        if found["finished_at"] is not None:
            return found
        time.sleep(0.05)
    return None


def run(cloud: ChaosCloud, guest: Guest, victim: Victim, step: str, destination: str) -> Result:
    """Migrate, strike, bring back, and look."""
    source = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
    result = Result(victim.name, step, f"{source}->{destination}")
    connections = [Connection(cloud.lab.observer, address) for address in guest.addresses]
    options = {"bandwidth_mib": SLOW_MIB} if step == "copying" else {}
    migration = _begin(cloud, guest, destination, options)
    result.struck_at = wait_for_step(cloud, migration["id"], step)
    victim.strike(cloud, migration)
    began = time.monotonic()
    if victim.after_s is not None:
        time.sleep(victim.after_s)
        victim.revive(cloud, migration)
    _wait_for_end(cloud, migration["id"], began, result)
    if victim.after_s is None:
        victim.revive(cloud, migration)
    _wait_until_whole(cloud, guest, began, result)
    twice = _ran_twice(cloud, migration["id"])
    for connection in connections:
        seen = connection.stop()
        if twice:
            continue  # Each copy has heard a part of it: no connection can outlive that.
        if not seen.same_boot or not seen.continuous:
            result.wrong.append("the guest's counter is not continuous")
        if not seen.alive:
            result.wrong.append(f"a TCP connection broke: {seen.error}")
    return result


def _begin(cloud: ChaosCloud, guest: Guest, destination: str, options: dict[str, Any]) -> dict[str, Any]:
    """Order the migration; just after the last trial, an agent may still be on its way back."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            body = {"host": destination, "options": options}
            begun: dict[str, Any] = cloud.post(f"/kedge/v1/servers/{guest.id}/migrate", body)
            return begun
        except CannotMigrate:
            if time.monotonic() > ends:
                raise
            time.sleep(0.3)


def wait_for_step(cloud: ChaosCloud, migration_id: str, step: str) -> str:
    """Wait until the migration is at a step; the step at which it was seen."""
    query = (
        "SELECT m.finished_at, m.progress,"
        " array(SELECT phase FROM migration_events e WHERE e.migration_id = m.id ORDER BY seq)"
        " FROM migrations m WHERE m.id = %s"
    )
    while True:
        ((finished, progress, phases),) = cloud.database.rows(query, migration_id)
        if finished is not None:
            return TOO_LATE
        copying = (progress or {}).get("memory_processed", 0) > 0
        if step in phases or (step == "copying" and copying):
            return str(phases[-1])
        time.sleep(LOOK_S)


def _wait_for_end(cloud: ChaosCloud, migration_id: str, began: float, result: Result) -> None:
    migration = wait_for_end(cloud, migration_id, began + PATIENCE_S)
    if migration is None:
        result.wrong.append(f"the migration did not end within {PATIENCE_S:g} s")
        return
    result.outcome = migration["status"]
    if migration["status"] == "failed" and not migration["error"]:
        result.wrong.append("it failed without a reason")


def _ran_twice(cloud: ChaosCloud, migration_id: str) -> bool:
    """Whether libvirt let the VM run on both hosts for a moment, as it can when the destination's libvirtd dies."""
    query = "SELECT 1 FROM migration_events WHERE migration_id = %s AND phase = %s"
    return bool(cloud.database.rows(query, migration_id, Phase.TWIN_ENDED.value))


def _wait_until_whole(cloud: ChaosCloud, guest: Guest, began: float, result: Result) -> None:
    while True:
        wrong = shortcomings(cloud, guest)
        if not wrong:
            result.seconds = time.monotonic() - began
            return
        if time.monotonic() > began + PATIENCE_S:
            result.wrong += wrong
            return
        time.sleep(0.1)
