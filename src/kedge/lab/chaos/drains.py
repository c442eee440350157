"""Drains during which something dies: the operation ends as it must, and no VM is moved twice."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kedge.model.server import Phase

from .. import tour
from ..connection import Connection
from .cloud import ChaosCloud
from .invariants import Guest, shortcomings
from .trial import LOOK_S, SLOW_MIB, TOO_LATE, Result, wait_for_end
from .victims import VICTIMS, Victim

BEGUN, HALF_DONE = "a drain begun", "a drain half done"
"""When a strike comes: as soon as a VM's memory is copied, or when the first VM has arrived."""

SHORT_VICTIMS = {"the conductor that drives it", "the source's agent", "PostgreSQL"}
SPARED = {"the destination's QEMU", "the destination's data ports"}
"""These would end or cut off VMs that have arrived."""

SECOND_ADDRESS = "198.51.100.40"
LAST = "h5"
"""Where the last drain brings its VMs."""

VMS = 3
"""One more than may leave a host at once, so that somebody has to begin another migration after the strike."""

PATIENCE_S = 120.0
LIMITS = {"bandwidth_mib": 2 * SLOW_MIB, "attempts": 3, "retry_s": 1, "max_failures": 2 * VMS}
"""Slow enough to be struck while it copies. A migration that does not survive that is begun again."""


def chosen(victim: str, moment: str, *, long: bool) -> list[tuple[Victim, str]]:
    """The victims whose names contain `victim`, each with the moments to strike at, or only this one."""
    moments = (BEGUN, HALF_DONE) if long or moment else (BEGUN,)
    return [
        (each, at)
        for at in moments
        for each in VICTIMS
        if victim in each.name
        and moment in ("", at)
        and each.name not in SPARED
        and (long or victim or each.name in SHORT_VICTIMS)
    ]


def with_company(cloud: ChaosCloud, guest: Guest) -> list[Guest]:
    """The guest and others on its host, each with one NIC."""
    network = tour.make_networks(cloud)["blue"]
    host: str = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
    front, _, last = SECOND_ADDRESS.rpartition(".")
    guests = [guest]
    for number in range(VMS - 1):
        address, name = f"{front}.{int(last) + number}", f"vm{number + 2}"
        server = tour.make_server(cloud, name, host, [(tour.make_port(cloud, network, address), address)])
        guests.append(Guest(server["id"], name, (address,)))
    return guests


def drains(
    cloud: ChaosCloud, guests: Sequence[Guest], victims: Sequence[tuple[Victim, str]]
) -> Iterator[Result]:
    """A drain for each victim, of the host that the one before has filled, until one falls short."""
    hosts = list(cloud.lab.hosts)
    for victim, moment in victims:
        source: str = cloud.get(f"/kedge/v1/servers/{guests[0].id}")["host"]
        # The transitions that follow are of h5.
        is_last = (victim, moment) == victims[-1] and source != LAST
        destination = LAST if is_last else hosts[(hosts.index(source) + 1) % len(hosts)]
        result = Result(victim.name, moment, f"{source}->{destination}")
        _drain(cloud, guests, victim, (source, destination), result)
        yield result
        if not result.good:
            return
        cloud.put(f"/kedge/v1/hosts/{source}/disabled", {"disabled": False})


def _drain(
    cloud: ChaosCloud, guests: Sequence[Guest], victim: Victim, way: tuple[str, str], result: Result
) -> None:
    """Drain a host, strike, and write into the result what became of that."""
    source, destination = way
    connections = [Connection(cloud.lab.observer, address) for each in guests for address in each.addresses]
    wanted = {"kind": "drain", "host": source, "to": [destination], "limits": LIMITS}
    operation = cloud.post("/kedge/v1/operations", wanted)
    result.struck_at = _wait_for(cloud, operation["id"], result.step)
    struck = {"id": operation["id"], "source": source, "destination": destination}
    victim.strike(cloud, struck)
    began = time.monotonic()
    if victim.after_s is not None:
        time.sleep(victim.after_s)
        victim.revive(cloud, struck)
    ended = wait_for_end(cloud, operation["id"], began + PATIENCE_S, "operations")
    if victim.after_s is None:
        victim.revive(cloud, struck)
    if ended is None:
        result.wrong.append(f"the drain did not end within {PATIENCE_S:g} s")
    else:
        result.outcome = ended["state"]
        result.wrong += _wrong_with(cloud, ended)
    wait_until_whole(cloud, guests, began, result)
    for connection in connections:
        seen = connection.stop()
        if not (seen.alive and seen.same_boot and seen.continuous):
            result.wrong.append(f"a TCP connection was not kept whole: {seen.error}")


def _wait_for(cloud: ChaosCloud, operation_id: str, moment: str) -> str:
    """Wait for the moment to strike; how many migrations of it had ended then, or that it was too late."""
    ours = (
        "SELECT m.finished_at, EXISTS (SELECT 1 FROM migration_events e WHERE e.migration_id = m.id AND phase = %s)"
        " FROM migrations m JOIN operation_items i ON i.server_id = m.server_id"
        " WHERE i.operation_id = %s AND i.migrations::jsonb ? m.id"
    )
    while True:
        migrations = cloud.database.rows(ours, Phase.TRANSFER.value, operation_id)
        ended = sum(finished is not None for finished, _ in migrations)
        if ended == VMS:
            return TOO_LATE
        if ended or (moment == BEGUN and any(copying for _, copying in migrations)):
            return f"{ended} of {VMS} have ended"
        time.sleep(LOOK_S)


def _wrong_with(cloud: ChaosCloud, ended: dict[str, Any]) -> list[str]:
    """What is not as it must be with a drain that has ended: incomplete, a host in use, a VM moved twice."""
    found = []
    if ended["state"] != "completed":
        why = "; ".join(each for item in ended["items"] for each in item["why"])
        found.append(f"the drain {ended['state']}: {why}")
    hosts = {each["name"]: each for each in cloud.get("/kedge/v1/hosts")}
    if hosts[ended["host"]]["disabled_reason"] is None:
        found.append(f"{ended['host']} is not disabled")
    moved = cloud.database.rows(
        "SELECT server_id, count(*) FROM migrations"
        " WHERE status = 'completed' AND created_at >= (SELECT created_at FROM operations WHERE id = %s)"
        " GROUP BY server_id HAVING count(*) > 1",
        ended["id"],
    )
    return found + [f"server {server} was moved {times} times" for server, times in moved]


def wait_until_whole(cloud: ChaosCloud, guests: Sequence[Guest], began: float, result: Result) -> None:
    """Write into the result when all was whole, or what was not so in time."""
    while True:
        wrong = [
            f"{each.name}: {lack}" for each in guests for lack in shortcomings(cloud, each, guests=guests)
        ]
        if not wrong:
            result.seconds = time.monotonic() - began
            return
        if time.monotonic() > began + PATIENCE_S:
            result.wrong += wrong
            return
        time.sleep(0.3)


__all__ = [
    "BEGUN",
    "HALF_DONE",
    "LIMITS",
    "SHORT_VICTIMS",
    "chosen",
    "drains",
    "wait_until_whole",
    "with_company",
]
