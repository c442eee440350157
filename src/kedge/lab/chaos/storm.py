"""Many VMs that migrate all the time while something is killed every few seconds."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kedge.model.errors import KedgeError

from .. import tour
from ..connection import Pulse, pulse
from .cloud import ChaosCloud
from .invariants import Guest, shortcomings
from .victims import VICTIMS

CALM_S = 5.0
"""Between two victims."""

PATIENCE_S = 180.0
SPARED = {"the destination's QEMU", "the destination's data ports"}
"""On a host that other VMs run on, these would kill or cut off VMs that do not migrate."""


@dataclass
class Storm:
    """What came of it."""

    outcomes: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    pulses: dict[str, Pulse] = field(default_factory=dict)
    settled_s: float = 0.0


def make_guests(cloud: ChaosCloud, number: int) -> list[Guest]:
    """So many VMs with a NIC each, spread over the hosts."""
    network = tour.make_networks(cloud)["blue"]
    hosts = list(cloud.lab.hosts)
    guests = []
    for each in range(number):
        address = f"198.51.100.{20 + each}"
        port = tour.make_port(cloud, network, address)
        host = hosts[each % len(hosts)]
        server = tour.boot_server(cloud, f"storm{each}", host, [(port, address)])
        guests.append(Guest(server["id"], server["name"], (address,)))
    for guest in guests:
        cloud.wait_for(lambda guest=guest: tour.answers(cloud, guest.addresses[0]), guest.name, 300)  # type: ignore[misc]
    return guests


def storm(
    cloud: ChaosCloud,
    guests: Sequence[Guest],
    seconds: float,
    dice: random.Random,
    say: Callable[[str], None],
) -> Storm:
    """Let it rage for so long, then wait until all is quiet, and look."""
    seen = Storm()
    for guest in guests:
        _feel(cloud, guest, seen)
    over = threading.Event()
    movers = [
        threading.Thread(target=_move, args=(cloud, guest, seen, over, random.Random(dice.random())))  # noqa: S311
        for guest in guests
    ]
    for mover in movers:
        mover.start()
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            _strike(cloud, seen, dice, say)
            time.sleep(CALM_S)
    finally:
        over.set()
        for mover in movers:
            mover.join()
    _wait_until_whole(cloud, guests, seen)
    for guest in guests:
        _feel(cloud, guest, seen)
    return seen


def _move(cloud: ChaosCloud, guest: Guest, seen: Storm, over: threading.Event, dice: random.Random) -> None:
    """Migrate one VM again and again."""
    while not over.is_set():
        try:
            here = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
            there = dice.choice([host for host in cloud.lab.hosts if host != here])
            migration = cloud.post(f"/kedge/v1/servers/{guest.id}/migrate", {"host": there})
        except KedgeError:
            over.wait(1)
            continue
        status = None
        while status is None:
            time.sleep(0.5)
            try:
                found = cloud.get(f"/kedge/v1/migrations/{migration['id']}")
                status = found["status"] if found["finished_at"] else None
            except KedgeError:
                continue
        seen.outcomes[status] += 1
        _feel(cloud, guest, seen)


def _feel(cloud: ChaosCloud, guest: Guest, seen: Storm) -> None:
    """That it is the guest that it was, and never an earlier state of it; one that is cut off says nothing now."""
    felt, before = pulse(cloud.lab.observer, guest.addresses[0]), seen.pulses.get(guest.name)
    if felt is None:
        return
    if before is not None and not felt.follows(before):
        seen.wrong.append(f"{guest.name} went back from {before} to {felt}")
    seen.pulses[guest.name] = felt


def _strike(cloud: ChaosCloud, seen: Storm, dice: random.Random, say: Callable[[str], None]) -> None:
    victim = dice.choice([each for each in VICTIMS if each.name not in SPARED])
    source, destination = dice.sample(list(cloud.lab.hosts), 2)
    under_way = cloud.database.rows("SELECT id FROM migrations WHERE finished_at IS NULL")
    if not under_way:
        return
    migration = {"id": dice.choice(under_way)[0], "source": source, "destination": destination}
    say(f"{victim.name} ({source}, {destination}); {len(under_way)} migrations are under way")
    seen.victims[victim.name] += 1
    victim.strike(cloud, migration)
    time.sleep(victim.after_s or 3.0)
    victim.revive(cloud, migration)


def _wait_until_whole(cloud: ChaosCloud, guests: Sequence[Guest], seen: Storm) -> None:
    began = time.monotonic()
    while True:
        wrong = [
            f"{guest.name}: {each}" for guest in guests for each in shortcomings(cloud, guest, guests=guests)
        ]
        seen.settled_s = time.monotonic() - began
        if not wrong or seen.settled_s > PATIENCE_S:
            seen.wrong += wrong
            return
        time.sleep(1)
