"""Open vSwitch as pluggers see and change it; its database is `ovsdb`'s, and its flows are `openflow`'s.

A change is in the database at once, whole or not at all, so a port is never there without its tag. ovs-vswitchd carries
it out some milliseconds later; who needs that waits, for all changes before at once.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kedge.model.errors import HostFailure

from . import openflow, ovs_changes, ovsdb
from .openflow import Flow
from .ovsdb import Operation

T = TypeVar("T")

# The columns that `look` reads of each table.
_COLUMNS = {
    "Bridge": ("name", "fail_mode", "datapath_type", "external_ids", "ports"),
    "Port": ("_uuid", "name", "tag", "trunks", "vlan_mode", "external_ids", "interfaces"),
    "Interface": ("_uuid", "ofport", "error", "options"),
}


@dataclass(frozen=True)
class Bridge:
    """A bridge. `datapath_type` is `system` (the kernel's) or `netdev` (userspace)."""

    name: str
    secure: bool
    datapath_type: str
    external_ids: Mapping[str, str]


@dataclass(frozen=True)
class Port:
    """A port with its (first) interface. `number` is its OpenFlow port, None while it has none."""

    name: str
    uuid: str
    bridge: str
    tag: int | None
    external_ids: Mapping[str, str]
    number: int | None
    error: str
    peer: str | None
    trunks: tuple[int, ...] = ()
    vlan_mode: str = ""


@dataclass(frozen=True)
class Switch:
    """The bridges and ports of this host, by name, as they were at one instant."""

    bridges: Mapping[str, Bridge]
    ports: Mapping[str, Port]


@contextmanager
def one_look() -> Iterator[None]:
    """Within the block, this thread asks Open vSwitch each question once: `look`, and `flows` for each bridge.

    For looking only. Looking at one VIF takes three questions.
    """
    if getattr(_this_look, "answers", None) is not None:
        yield
        return
    _this_look.answers = {}
    try:
        yield
    finally:
        _this_look.answers = None


_this_look = threading.local()


def _once(question: Hashable, ask: Callable[[], T]) -> T:
    answers: dict[Hashable, Any] | None = getattr(_this_look, "answers", None)
    if answers is None:
        return ask()
    if question not in answers:
        answers[question] = ask()
    answer: T = answers[question]
    return answer


def look() -> Switch:
    """Read the bridges and ports."""
    return _once("look", _look)


def _look() -> Switch:
    bridges, ports, interfaces = ovsdb.select(_COLUMNS)
    home = {uuid: row["name"] for row in bridges for uuid in _many(row["ports"])}
    by_uuid = {row["_uuid"]: row for row in interfaces}
    return Switch(
        {row["name"]: _bridge(row) for row in bridges},
        {
            row["name"]: _port(row, home[row["_uuid"]], by_uuid[_many(row["interfaces"])[0]])
            for row in ports
            if row["_uuid"] in home
        },
    )


def change(operations: Sequence[Operation]) -> None:
    """Make one transaction of these (`ovs_changes`); `wait` tells when ovs-vswitchd has carried it out.

    Raises HostFailure; then nothing was changed.
    """
    _changes.newest = ovsdb.change(operations)


def wait() -> None:
    """Wait until ovs-vswitchd has carried out all that this thread has changed. Raises HostFailure."""
    newest: int | None = getattr(_changes, "newest", None)
    _changes.newest = None
    if newest is not None:
        ovsdb.wait_for(newest)


_changes = threading.local()


def remove_port(port: Port) -> None:
    """Remove a port, if it is still there, and wait. Raises HostFailure."""
    change(ovs_changes.remove_port(port.bridge, port.uuid))
    wait()


def is_reachable() -> bool:
    """Whether Open vSwitch runs on this host. Where its database has no socket, nobody is asked."""
    return _once("is reachable", _is_reachable)


def _is_reachable() -> bool:
    if not ovsdb.database_socket().exists():
        return False
    try:
        ovsdb.select({"Open_vSwitch": ("_uuid",)})
    except HostFailure:
        return False
    return True


def flows(bridge: str, cookie: int) -> set[Flow]:
    """The flows with this cookie."""
    return {flow for flow in all_flows(bridge) if flow.cookie == cookie}


def all_flows(bridge: str) -> set[Flow]:
    """All flows, whoever made them."""
    return _once(bridge, lambda: openflow.flows(bridge))


def _bridge(row: Mapping[str, Any]) -> Bridge:
    return Bridge(
        row["name"], row["fail_mode"] == "secure", row["datapath_type"] or "system", row["external_ids"]
    )


def _port(row: Mapping[str, Any], bridge: str, interface: Mapping[str, Any]) -> Port:
    number = interface["ofport"]
    return Port(
        name=row["name"],
        uuid=row["_uuid"],
        bridge=bridge,
        tag=row["tag"] if isinstance(row["tag"], int) else None,
        external_ids=row["external_ids"],
        number=number if isinstance(number, int) and number > 0 else None,
        error=interface["error"] if isinstance(interface["error"], str) else "",
        peer=interface["options"].get("peer"),
        trunks=tuple(_many(row["trunks"])),
        vlan_mode=row["vlan_mode"] if isinstance(row["vlan_mode"], str) else "",
    )


def _many(value: Any) -> list[Any]:
    """The members of a set; OVSDB writes a set of one as its only member."""
    return value if isinstance(value, list) else [value]
