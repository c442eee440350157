"""Reading Open vSwitch's database: one question and its answer over its Unix socket (RFC 7047, section 4.1.3).

Why not `ovs-vsctl`, which makes all changes (see `ovs_client`): it is a process, and reads the whole schema and every
row, for each question. Why not the `ovs` library: it keeps a copy of the tables up to date, which somebody has to run,
and a look has to be newer than the change before it.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure

TIMEOUT_S = 15
_RUNDIR = "/var/run/openvswitch"
_CHUNK = 1 << 20

Row = dict[str, Any]


def run_directory() -> Path:
    """Where Open vSwitch's daemons have their sockets, by the rule of all of its programs."""
    return Path(os.environ.get("OVS_RUNDIR", _RUNDIR))


def database_socket() -> Path:
    """Where the database listens."""
    return run_directory() / "db.sock"


def select(tables: Mapping[str, Sequence[str]]) -> list[list[Row]]:
    """The rows of some tables, with these columns, as they are at one instant.

    Raises HostFailure if the database does not answer, or does not know a table or a column.
    """
    operations = [
        {"op": "select", "table": table, "where": [], "columns": list(columns)}
        for table, columns in tables.items()
    ]
    request = {"method": "transact", "params": ["Open_vSwitch", *operations], "id": 0}
    try:
        reply = _asked(json.dumps(request).encode())
    except (OSError, ValueError) as error:
        raise HostFailure(
            f"Open vSwitch's database does not answer ({error}); does ovsdb-server run?"
        ) from error
    results = reply.get("result") or []
    if reply.get("error") or len(results) != len(operations) or any("rows" not in each for each in results):
        raise HostFailure(f"Open vSwitch's database refused to be read: {reply.get('error') or results}")
    return [[{name: _plain(cell) for name, cell in row.items()} for row in each["rows"]] for each in results]


def _asked(request: bytes) -> Mapping[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(database_socket()))
        connection.sendall(request)
        text = b""
        while True:
            part = connection.recv(_CHUNK)
            text += part
            # Nothing but JSON itself says where the answer ends.
            if not part or part.endswith(b"}"):
                try:
                    reply: Mapping[str, Any] = json.loads(text)
                    return reply
                except ValueError:
                    if not part:
                        raise


def _plain(cell: Any) -> Any:
    """An OVSDB value in Python's terms: a set becomes a list (an optional value: itself, or []), a map a dict."""
    match cell:
        case ["set", items]:
            return [_plain(item) for item in items]
        case ["map", pairs]:
            return dict(pairs)
        case ["uuid", text]:
            return text
        case _:
            return cell
