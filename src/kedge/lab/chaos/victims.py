"""What is killed or cut off, and how it comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .cloud import ChaosCloud

Migration = Mapping[str, Any]
Act = Callable[[ChaosCloud, Migration], None]


@dataclass(frozen=True)
class Victim:
    """Something that dies.

    Attributes:
        name: what it is.
        strike: kills it, or cuts it off.
        revive: brings it back.
        after_s: how long after the strike it comes back; None only when the migration has ended, because the
            rest must cope without it.
        steps: the steps at which it may be struck; all if empty.
    """

    name: str
    strike: Act
    revive: Act
    after_s: float | None
    steps: tuple[str, ...] = ()


def _driver(cloud: ChaosCloud, migration: Migration) -> int:
    found = cloud.driver(migration["id"])
    return 0 if found is None else found


def _bystander(cloud: ChaosCloud, migration: Migration) -> int:
    return (_driver(cloud, migration) + 1) % len(cloud.controls)


def _start_controls(cloud: ChaosCloud, _migration: Migration) -> None:
    cloud.start_control()


def _kill_agent(side: str) -> Act:
    return lambda cloud, migration: cloud.kill_agent(migration[side])


def _start_agent(side: str) -> Act:
    return lambda cloud, migration: cloud.start_agent(cloud.lab.hosts[migration[side]])


def _kill_libvirtd(side: str) -> Act:
    def strike(cloud: ChaosCloud, migration: Migration) -> None:
        cloud.kill_on(migration[side], "^libvirtd --listen")

    return strike


def _start_libvirtd(side: str) -> Act:
    return lambda cloud, migration: cloud.restart_libvirtd(migration[side])


def _kill_incoming_qemu(cloud: ChaosCloud, migration: Migration) -> None:
    cloud.kill_on(migration["destination"], "qemu-system.*-incoming")


def _nothing(_cloud: ChaosCloud, _migration: Migration) -> None:
    pass


def _between(one: str, other: str) -> tuple[Act, Act]:
    def name(end: str, migration: Migration) -> str:
        return str(migration.get(end, end))

    return (
        lambda cloud, migration: cloud.cut(name(one, migration), name(other, migration)),
        lambda cloud, migration: cloud.join(name(one, migration), name(other, migration)),
    )


def _data(state: str) -> Act:
    return lambda cloud, migration: cloud.fabric_port(migration["destination"], state)


VICTIMS = (
    Victim(
        "the conductor that drives it",
        lambda cloud, migration: cloud.kill_control(_driver(cloud, migration)),
        _start_controls,
        None,
    ),
    Victim(
        "an API process",
        lambda cloud, migration: cloud.kill_control(_bystander(cloud, migration)),
        _start_controls,
        None,
    ),
    Victim("the source's agent", _kill_agent("source"), _start_agent("source"), 1.0),
    Victim("the destination's agent", _kill_agent("destination"), _start_agent("destination"), 1.0),
    Victim("the source's libvirtd", _kill_libvirtd("source"), _start_libvirtd("source"), 1.0),
    Victim("the destination's libvirtd", _kill_libvirtd("destination"), _start_libvirtd("destination"), 1.0),
    Victim(
        "the destination's QEMU",
        _kill_incoming_qemu,
        _nothing,
        0.0,
        # Later on it is the VM itself that would be killed.
        ("bound", "plugged and wired", "copying"),
    ),
    Victim(
        "PostgreSQL",
        lambda cloud, _migration: cloud.database.kill(),
        lambda cloud, _migration: cloud.database.start(),
        2.0,
    ),
    Victim("control plane | source", *_between("control", "source"), 4.0),
    Victim("control plane | destination", *_between("control", "destination"), 4.0),
    Victim("source | destination", *_between("source", "destination"), 4.0),
    Victim("the destination's data ports", _data("down"), _data("up"), None),
)

STEPS = ("bound", "plugged and wired", "copying", "paused", "switched", "announced")
"""Where a strike comes: as soon as the timeline has this entry; `copying` when some memory has been copied."""
