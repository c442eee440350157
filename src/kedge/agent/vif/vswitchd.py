"""What ovs-vswitchd is told and asked over its control socket, in the words of ovs-vswitchd(8), without a process."""

import json
import socket
from collections.abc import Sequence
from typing import Any

from kedge.model.errors import HostFailure

from .ovsdb import run_directory

_TIMEOUT_S = 1.0  # while a VM pauses
_LOOK_TIMEOUT_S = 15.0
_CHUNK = 1 << 16


def forget(mac: str, places: Sequence[tuple[str, str, int]]) -> None:
    """Let bridges forget behind which port a MAC is, and find the way anew for what is sent to it.

    `places` are bridges, a port of each, and the VLAN (0 for none). ovs-vswitchd can forget one MAC only if it was
    entered by hand (since 2.16), so it is entered and deleted. Both orders are on their way before the first is carried
    out: no death in between leaves an entry that stays. An older ovs-vswitchd forgets all MACs of these bridges. Raises
    HostFailure if it does not answer.
    """
    orders = []
    for bridge, port, vlan in places:
        orders += [("fdb/add", bridge, port, str(vlan), mac), ("fdb/del", bridge, str(vlan), mac)]
    answers = _tell(orders)
    if any("not a valid command" in str(answer.get("error")) for answer in answers):
        _tell([("fdb/flush", bridge) for bridge, _, _ in places])


def heard(bridge: str, number: int) -> frozenset[str]:
    """The MACs that `bridge` has learned on its port of this OpenFlow number. Raises HostFailure."""
    (answer,) = _tell([("fdb/show", bridge)], _LOOK_TIMEOUT_S)
    if answer.get("error"):
        raise HostFailure(f"ovs-vswitchd does not tell what {bridge} has learned: {answer['error']}")
    rows = (line.split() for line in str(answer["result"]).splitlines()[1:])  # port, VLAN, MAC, age
    return frozenset(row[2] for row in rows if row[0] == str(number))


def _tell(orders: Sequence[tuple[str, ...]], timeout_s: float = _TIMEOUT_S) -> list[dict[str, Any]]:
    asked = [{"id": 0, "method": method, "params": parameters} for method, *parameters in orders]
    try:
        pid = (run_directory() / "ovs-vswitchd.pid").read_text().strip()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(run_directory() / f"ovs-vswitchd.{pid}.ctl"))
            connection.sendall("".join(map(json.dumps, asked)).encode())
            return _answers(connection, len(asked))
    except (OSError, ValueError) as error:
        raise HostFailure(f"ovs-vswitchd does not answer ({error}); does it run?") from error


def _answers(connection: socket.socket, wanted: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    decoder, text = json.JSONDecoder(), ""
    while len(found) < wanted:
        part = connection.recv(_CHUNK)
        if not part:
            raise ValueError("it hung up")
        text = (text + part.decode()).lstrip()
        while text:
            try:
                answer, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest of it is still to come
            found.append(answer)
            text = text[end:].lstrip()
    return found
