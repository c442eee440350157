"""Open vSwitch's database: an answer in pieces, and what goes wrong, in words. (The real one: agent/vif.)"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kedge.agent.vif import ovsdb
from kedge.model.errors import HostFailure

ROWS = [
    {"name": "br-int", "tag": ["set", []], "ports": ["set", [["uuid", "u1"], ["uuid", "u2"]]]},
    {"name": "br}", "tag": 7, "ports": ["uuid", "u3"], "external_ids": ["map", [["a", "b"]]]},
]


@pytest.fixture(autouse=True)
def rundir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    return tmp_path


@contextmanager
def answering(rundir: Path, *parts: bytes) -> Iterator[list[bytes]]:
    """A database that answers one question in these parts."""
    asked: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(rundir / "db.sock"))
    server.listen()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            asked.append(connection.recv(65536))
            for part in parts:
                connection.sendall(part)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield asked
    thread.join(timeout=10)
    server.close()


def test_rows_come_as_python_s_values_however_the_answer_is_cut(rundir: Path) -> None:
    text = json.dumps({"id": 0, "result": [{"rows": ROWS}], "error": None}).encode()
    cut = text.index(b"br}") + 3
    with answering(rundir, text[:cut], text[cut:]) as asked:
        (rows,) = ovsdb.select({"Bridge": ("name", "tag", "ports", "external_ids")})
    assert rows == [
        {"name": "br-int", "tag": [], "ports": ["u1", "u2"]},
        {"name": "br}", "tag": 7, "ports": "u3", "external_ids": {"a": "b"}},
    ]
    question = json.loads(asked[0])
    assert question["params"][1]["columns"] == ["name", "tag", "ports", "external_ids"]


REFUSALS: list[Callable[[], object]] = [
    lambda: {"id": 0, "result": [{"error": "unknown table"}], "error": None},
    lambda: {"id": 0, "result": None, "error": "not allowed"},
    lambda: {"id": 0, "result": [], "error": None},
]


@pytest.mark.parametrize("made", REFUSALS)
def test_a_refusal_is_told(rundir: Path, made: Callable[[], object]) -> None:
    with answering(rundir, json.dumps(made()).encode()), pytest.raises(HostFailure, match="refused"):
        ovsdb.select({"Nothing": ("name",)})


def test_an_answer_that_breaks_off_is_told(rundir: Path) -> None:
    with answering(rundir, b'{"id": 0}{'), pytest.raises(HostFailure, match="does not answer"):
        ovsdb.select({"Bridge": ("name",)})


def test_a_database_that_is_not_there_is_told() -> None:
    with pytest.raises(HostFailure, match="does ovsdb-server run"):
        ovsdb.select({"Bridge": ("name",)})


def carried_out(number: int) -> dict[str, object]:
    return {"Open_vSwitch": {"row": {"new": {"cur_cfg": number}}}}


def test_it_is_waited_until_a_change_was_carried_out(rundir: Path) -> None:
    first = json.dumps({"id": 0, "result": carried_out(3), "error": None})
    updates = [{"id": None, "method": "update", "params": [None, carried_out(number)]} for number in (4, 6)]
    with answering(rundir, (first + "".join(map(json.dumps, updates))).encode()):
        ovsdb.wait_for(5)


def test_a_change_that_is_never_carried_out_is_told(rundir: Path) -> None:
    message = {"id": 0, "result": carried_out(3), "error": None}
    with answering(rundir, json.dumps(message).encode()), pytest.raises(HostFailure, match="hung up"):
        ovsdb.wait_for(5)
