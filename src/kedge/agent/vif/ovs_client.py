"""Open vSwitch: read from its database (`ovsdb`), and changed through its own command-line clients.

Why the reference clients and not a library: `ovs-vsctl` makes one atomic transaction of all that one call names,
so a port is never there without its tag; it waits until ovs-vswitchd has done it; and it follows the
database's schema of whatever version is installed. `ovs-ofctl` is the only such client for flows. Both
find the daemons as everything else on the host does (OVS_RUNDIR).
"""

import json
import subprocess
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kedge.model.errors import HostFailure

from . import ovsdb

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

    For looking only. Each question is a process, and looking at one VIF takes three of them.
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


def flows(bridge: str, cookie: int) -> set[str]:
    """The flows with this cookie, in the form in which `add_flows` takes them."""
    return {flow for flow in all_flows(bridge) if flow.startswith(f"cookie={cookie:#x},")}


def all_flows(bridge: str) -> set[str]:
    """All flows, whoever made them, in the form in which `add_flows` takes them."""
    return _once(bridge, lambda: _flows(bridge))


def _flows(bridge: str) -> set[str]:
    lines = _run(_ofctl("--no-stats", "--no-names", "dump-flows", bridge)).splitlines()
    return {line.strip() for line in lines if "actions=" in line}


def add_flows(bridge: str, wanted: Iterable[str]) -> None:
    """Add flows; one with the same match and priority is replaced."""
    _run(_ofctl("add-flows", bridge, "-"), "\n".join(wanted))


def remove_flow(bridge: str, flow: str) -> None:
    """Remove exactly this flow, if it is there."""
    match = flow.partition(" actions=")[0]
    cookie, _, rest = match.partition(", ")
    _run(_ofctl("--strict", "del-flows", bridge, f"{cookie}/-1,{rest}"))


def packet_out(bridge: str, in_port: int, frames: Sequence[bytes]) -> None:
    """Let `bridge` switch these frames as if they had come in on the port numbered `in_port`."""
    _run(_ofctl("packet-out", bridge, str(in_port), "NORMAL", *(frame.hex() for frame in frames)))


def heard(bridge: str, number: int) -> frozenset[str]:
    """The MACs that `bridge` has learned on its port of this OpenFlow number."""
    table = _run(["ovs-appctl", f"--timeout={TIMEOUT_S}", "fdb/show", bridge]).splitlines()[1:]
    rows = (line.split() for line in table)  # port, VLAN, MAC, age
    return frozenset(row[2] for row in rows if row[0] == str(number))


def quoted(value: str) -> str:
    """A string as the clients take it wherever a value is expected."""
    return json.dumps(value)


def _ofctl(*arguments: str) -> list[str]:
    return ["ovs-ofctl", f"--timeout={TIMEOUT_S}", *arguments]


def _run(command: Sequence[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=2 * TIMEOUT_S
        )
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
