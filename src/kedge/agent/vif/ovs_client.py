"""Open vSwitch: its database is read here (`ovsdb`) and changed by `ovs-vsctl`; its flows are `openflow`'s.

Why the reference client and not a library for changes: `ovs-vsctl` makes one atomic transaction of all that one call
names, so a port is never there without its tag; it waits until ovs-vswitchd has done it; and it follows the
database's schema of whatever version is installed. It finds the daemons as everything else on the host does
(OVS_RUNDIR).
"""

import json
import subprocess
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kedge.model.errors import HostFailure

from . import openflow, ovsdb
from .openflow import Flow

T = TypeVar("T")

TIMEOUT_S = 15

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


def vsctl(*arguments: str) -> str:
    """Run one `ovs-vsctl` transaction, and wait until ovs-vswitchd has carried it out; answers what it printed.

    Raises HostFailure with its message.
    """
    return _run(["ovs-vsctl", f"--timeout={TIMEOUT_S}", *arguments])


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


def quoted(value: str) -> str:
    """A string as the clients take it wherever a value is expected."""
    return json.dumps(value)


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostFailure(f"can't run {command[0]}: {error}; is Open vSwitch installed?") from error
    if done.returncode:
        raise HostFailure(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _bridge(row: Mapping[str, Any]) -> Bridge:
    return Bridge(
        row["name"], row["fail_mode"] == "secure", row["datapath_type"] or "system", row["external_ids"]
    )


def _port(row: Mapping[str, Any], bridge: str, interface: Mapping[str, Any]) -> Port:
    number = interface["ofport"]
    return Port(
        name=row["name"],
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
