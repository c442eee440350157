"""Transitions of a host, by moves and in place, during which one thing after the other dies."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kedge.model.errors import CannotMigrate, HostFailure

from .. import conversion
from ..connection import Connection
from .cloud import ChaosCloud
from .drains import LIMITS, SHORT_VICTIMS, wait_until_whole
from .invariants import Guest
from .trial import LOOK_S, TOO_LATE, Result
from .victims import VICTIMS, Victim

BY_MOVES, IN_PLACE = "a transition by moves", "a transition in place"

HOST = "h5"
"""A Linux bridge host, which gets Open vSwitch too."""

VIF_TYPES = {"openvswitch": "ovs", "linuxbridge": "bridge"}
PATIENCE_S = 150.0
SPARED = {"the destination's QEMU", "the destination's data ports"}

_BEGUN = {
    BY_MOVES: (
        "SELECT m.id, m.source, m.destination, m.finished_at,"
        " EXISTS (SELECT 1 FROM migration_events e WHERE e.migration_id = m.id AND phase = 'transfer')"
        " FROM migrations m JOIN operation_items i ON i.server_id = m.server_id"
        " WHERE i.operation_id = %s AND i.migrations::jsonb ? m.id ORDER BY m.number"
    ),
    IN_PLACE: (
        "SELECT r.id, r.host, r.host, r.finished_at, r.prepared"
        " FROM rewirings r JOIN operation_items i ON i.server_id = r.server_id"
        " WHERE i.operation_id = %s AND r.created_at >= (SELECT created_at FROM operations WHERE id = %s)"
        " ORDER BY r.number"
    ),
}
"""What a transition has begun: its id, both hosts, its end, and whether it is on its way, so that it may be struck."""

_TIMES = (
    "SELECT server_id, count(*) FROM rewirings WHERE outcome = 'completed' AND host = %s"
    " AND created_at >= (SELECT created_at FROM operations WHERE id = %s) GROUP BY 1",
    "SELECT server_id, count(*) FROM migrations WHERE status = 'completed' AND source = %s"
    " AND created_at >= (SELECT created_at FROM operations WHERE id = %s) GROUP BY 1",
)
"""How often each server was rewired, and moved away from a host, since an operation began."""


@dataclass(frozen=True)
class Plan:
    """A transition of `HOST`, and who dies during it: each once so many migrations or rewirings have ended."""

    way: str
    victims: tuple[Victim, ...]
    after: tuple[int, ...]

    @property
    def name(self) -> str:
        """The victims."""
        return ", ".join(each.name for each in self.victims)


def chosen(victim: str, moment: str, *, long: bool) -> list[Plan]:
    """A transition of each kind with the usual victims one after the other; in the long form each victim alone too."""
    usual = tuple(each for each in VICTIMS if each.name in SHORT_VICTIMS and victim in each.name)
    alone = [each for each in VICTIMS if long and victim in each.name and each.name not in SPARED]
    plans = []
    for way, after in ((BY_MOVES, (0, 3, 4)), (IN_PLACE, (0, 1, 2))):
        if moment not in ("", way):
            continue
        plans += [Plan(way, usual, after[: len(usual)])] if usual else []
        plans += [Plan(way, (each,), after[1:2]) for each in alone]
    return plans


def transitions(cloud: ChaosCloud, guests: Sequence[Guest], plans: Sequence[Plan]) -> Iterator[Result]:
    """One after the other, to Open vSwitch and back to Linux bridges, until one falls short."""
    _gather(cloud, guests)
    conversion.put_open_vswitch_below(cloud, HOST)
    backends = list(cloud.lab.hosts[HOST].backends)
    for number, plan in enumerate(plans):
        if number:  # Its administrator has seen to it beforehand that its agent names the new one first.
            backends = [*backends[1:], backends[0]]
            conversion.name_backends(cloud, HOST, backends)
        result = Result(plan.name, plan.way, f"{HOST} to {backends[0]['driver']}")
        _change(cloud, guests, plan, backends[0]["driver"], result)
        yield result
        if not result.good:
            return


def _gather(cloud: ChaosCloud, guests: Sequence[Guest]) -> None:
    away = [each.id for each in guests if cloud.get(f"/kedge/v1/servers/{each.id}")["host"] != HOST]
    if not away:
        return
    begun = cloud.post("/kedge/v1/operations", {"kind": "servers", "servers": away, "to": [HOST]})
    cloud.wait_for(lambda: _ended(cloud, begun["id"]) is not None, f"all VMs on {HOST}", PATIENCE_S)


def _ended(cloud: ChaosCloud, operation_id: str) -> dict[str, Any] | None:
    """The operation once it has ended, or waits for a person."""
    with suppress(HostFailure):
        found: dict[str, Any] = cloud.get(f"/kedge/v1/operations/{operation_id}")
        if found["finished_at"] is not None or found["state"] == "paused":
            return found
    return None


def _change(cloud: ChaosCloud, guests: Sequence[Guest], plan: Plan, backend: str, result: Result) -> None:
    """Let the host be changed, strike, and write into the result what became of that."""
    connections = [Connection(cloud.lab.observer, address) for each in guests for address in each.addresses]
    wanted = {"hosts": [HOST], "to_backend": backend, "way": "in-place" if plan.way == IN_PLACE else "moves"}
    limits = {**LIMITS, "rewired_at_once": 1}
    operation = _begun(cloud, {"kind": "transition", "transition": wanted, "limits": limits})
    dead, ended = [], None
    for victim, after in zip(plan.victims, plan.after, strict=True):
        struck = _wait_for(cloud, operation["id"], plan.way, after)
        if struck is None:
            result.struck_at = TOO_LATE
            break
        victim.strike(cloud, struck)
        result.struck_at = f"{', '.join(map(str, plan.after))} have ended"
        if victim.after_s is None:
            dead.append((victim, struck))
        else:
            time.sleep(victim.after_s)
            victim.revive(cloud, struck)
    began = time.monotonic()
    while ended is None and time.monotonic() < began + PATIENCE_S:
        time.sleep(0.1)
        ended = _ended(cloud, operation["id"])
    for victim, struck in dead:
        victim.revive(cloud, struck)
    if ended is None:
        result.wrong.append(f"the transition did not end within {PATIENCE_S:g} s")
    else:
        result.outcome = ended["state"]
        result.wrong += _wrong_with(cloud, ended, guests, plan.way, VIF_TYPES[backend])
    wait_until_whole(cloud, guests, began, result)
    for connection in connections:
        seen = connection.stop()
        if not (seen.alive and seen.same_boot and seen.continuous):
            result.wrong.append(f"a TCP connection was not kept whole: {seen.error}")


def _begun(cloud: ChaosCloud, wanted: dict[str, Any]) -> dict[str, Any]:
    """Order it; just after the last trial, an agent may still be on its way back."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            begun: dict[str, Any] = cloud.post("/kedge/v1/operations", wanted)
        except CannotMigrate:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return begun


def _wait_for(cloud: ChaosCloud, operation_id: str, way: str, after: int) -> dict[str, Any] | None:
    """What is on its way once so many have ended; None if that is over."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        begun = cloud.database.rows(_BEGUN[way], *[operation_id] * _BEGUN[way].count("%s"))
        under_way = [each for each in begun if each[3] is None and each[4]]
        if len([each for each in begun if each[3] is not None]) >= after and under_way:
            return dict(zip(("id", "source", "destination"), under_way[0], strict=False))
        if _ended(cloud, operation_id) is not None:
            return None
        time.sleep(LOOK_S)
    return None


def _wrong_with(
    cloud: ChaosCloud, ended: dict[str, Any], guests: Sequence[Guest], way: str, vif_type: str
) -> list[str]:
    """What is not as it must be: a VM moved or rewired twice, or wired as before, or a host that takes none."""
    found = []
    if ended["state"] != "completed":
        why = [each["trouble"] or each["why"] for each in ended["hosts"]]
        found.append(f"the transition {ended['state']}: {'; '.join(why)}")
    rewired, left = (dict(cloud.database.rows(query, HOST, ended["id"])) for query in _TIMES)
    once = {each.id: 1 for each in guests}
    for what, times, wanted in (
        ("rewired", rewired, once if way == IN_PLACE else {}),
        ("moved away", left, once if way == BY_MOVES else {}),
    ):
        if times != wanted:
            found.append(f"the VMs were {what} so often: {times or 'never'}")
    for each in guests:
        bound = cloud.database.rows(
            "SELECT b.vif_type FROM bindings b JOIN ports p ON p.id = b.port_id WHERE p.device_id = %s",
            each.id,
        )
        if {kind for (kind,) in bound} != {vif_type}:
            found.append(f"{each.name} is bound as {bound}")
    host = next(each for each in cloud.get("/kedge/v1/hosts") if each["name"] == HOST)
    if host["disabled_reason"] is not None:
        found.append(f"{HOST} is disabled: {host['disabled_reason']}")
    return found


__all__ = ["BY_MOVES", "IN_PLACE", "chosen", "transitions"]
