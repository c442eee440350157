"""Open vSwitch's database, read and changed over its Unix socket (RFC 7047, section 4.1).

Why not `ovs-vsctl`: it is a process, and reads the whole schema and every row, for each question and each change. Why
not the `ovs` library: it keeps a copy of the tables up to date, which somebody has to run, and a look has to be newer
than the change before it.
"""

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedge.model.errors import HostFailure

TIMEOUT_S = 15
_RUNDIR = "/var/run/openvswitch"
_CHUNK = 1 << 20
_NAME, _GLOBAL = "Open_vSwitch", "Open_vSwitch"  # the database, and the table of its one row

Row = dict[str, Any]
Operation = dict[str, Any]


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
    answers = _transact([_select(table, columns) for table, columns in tables.items()])
    return [[{name: _plain(cell) for name, cell in row.items()} for row in each["rows"]] for each in answers]


def change(operations: Sequence[Operation]) -> int:
    """Change the database in one transaction; the number by which `wait_for` knows it.

    Raises HostFailure if the database does not answer, or refuses; then nothing was changed.
    """
    count = {"op": "mutate", "table": _GLOBAL, "where": [], "mutations": [["next_cfg", "+=", 1]]}
    answers = _transact([*operations, count, _select(_GLOBAL, ["next_cfg"])])
    return int(answers[-1]["rows"][0]["next_cfg"])


def wait_for(number: int) -> None:
    """Wait until ovs-vswitchd has carried out the change of this number. Raises HostFailure after `TIMEOUT_S`."""
    with _connected() as database:
        watched = {_GLOBAL: {"columns": ["cur_cfg"]}}
        database.send({"method": "monitor", "params": [_NAME, None, watched], "id": 0})
        for message in database.messages():
            tables = message["params"][1] if message.get("method") == "update" else message["result"]
            if any(row["new"]["cur_cfg"] >= number for row in tables[_GLOBAL].values()):
                return


def _select(table: str, columns: Sequence[str]) -> Operation:
    return {"op": "select", "table": table, "where": [], "columns": list(columns)}


def _transact(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    with _connected() as database:
        database.send({"method": "transact", "params": [_NAME, *operations], "id": 0})
        reply = next(database.messages())
    results = reply.get("result") or []
    refused = [f"{each['error']} ({each.get('details')})" for each in results if each and each.get("error")]
    if reply.get("error") or refused or len(results) != len(operations):
        raise HostFailure(f"Open vSwitch's database refused: {reply.get('error') or refused or results}")
    return list(results)


class _Database:
    """A conversation with the database."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._ends_at = time.monotonic() + TIMEOUT_S

    def send(self, message: Mapping[str, Any]) -> None:
        self._connection.sendall(json.dumps(message).encode())

    def messages(self) -> Iterator[dict[str, Any]]:
        """What it says, but for questions whether anybody listens. Raises TimeoutError, ValueError."""
        decoder, data = json.JSONDecoder(), b""
        while True:
            self._connection.settimeout(max(self._ends_at - time.monotonic(), 0.001))
            part = self._connection.recv(_CHUNK)
            if not part:
                raise ValueError("it hung up")
            data += part
            # Nothing but JSON itself says where a message ends.
            while data.endswith(b"}"):
                try:
                    message, end = decoder.raw_decode(data.decode())
                except ValueError:
                    break
                data = data.decode()[end:].lstrip().encode()
                if message.get("method") == "echo":
                    self.send({"id": message["id"], "result": message["params"], "error": None})
                else:
                    yield message


@contextmanager
def _connected() -> Iterator[_Database]:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(database_socket()))
            yield _Database(connection)
    except TimeoutError as error:
        raise HostFailure(
            f"Open vSwitch did not do what it was told within {TIMEOUT_S} s; do ovsdb-server and ovs-vswitchd run?"
        ) from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise HostFailure(
            f"Open vSwitch's database does not answer ({error}); does ovsdb-server run?"
        ) from error


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
