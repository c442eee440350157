"""Talking OpenFlow to a bridge: an answer in pieces, and what goes wrong, in words. (The real one: agent/vif.)"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kedge.agent.vif import openflow
from kedge.agent.vif.openflow import NORMAL, Flow, match
from kedge.model.errors import HostFailure

HELLO, ECHO = bytes((6, 0, 0, 16)) + bytes(12), bytes((1, 2, 0, 10)) + b"\0\0\0\7hi"
BARRIER = bytes((1, 19, 0, 8)) + bytes(4)
REFUSED = bytes((1, 1, 0, 12)) + bytes(4) + struct.pack("!HH", 3, 2)


@pytest.fixture(autouse=True)
def rundir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    return tmp_path


@contextmanager
def answering(rundir: Path, *parts: bytes) -> Iterator[list[bytes]]:
    """A bridge `br0` that says this to whoever comes, and then hangs up when the other side does, or at once."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(rundir / "br0.mgmt"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                for part in parts:
                    connection.sendall(part)
                connection.shutdown(socket.SHUT_WR)
                heard.append(stream.read())

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield heard
        thread.join(timeout=60)


def test_orders_go_out_in_their_order_and_end_with_a_barrier(rundir: Path) -> None:
    first, second = Flow(7, 2, match(1), b""), Flow(7, 3, match(1, 5), NORMAL)
    with answering(rundir, HELLO[:5], HELLO[5:] + ECHO + BARRIER[:3], BARRIER[3:]) as heard:
        openflow.add("br0", [first, second])
    (text,) = heard
    assert text.index(first.match) < text.index(second.match) < text.index(bytes((1, 18, 0, 8)))
    assert bytes((1, 3, 0, 10)) in text and text.endswith(b"hi")  # the echo


def test_a_refusal_is_told(rundir: Path) -> None:
    with answering(rundir, HELLO + REFUSED + BARRIER), pytest.raises(HostFailure, match="OpenFlow error 3/2"):
        openflow.packet_out("br0", 1, [bytes(60)])


@pytest.mark.parametrize("said", [b"", HELLO, HELLO + BARRIER[:5]])
def test_an_answer_that_breaks_off_is_told(rundir: Path, said: bytes) -> None:
    with answering(rundir, said), pytest.raises(HostFailure, match=r"br0 does not answer \(it hung up"):
        openflow.remove("br0", [Flow(1, 2, b"", b"")])


def test_what_is_no_openflow_is_told(rundir: Path) -> None:
    with answering(rundir, HELLO + bytes(16)), pytest.raises(HostFailure, match="does not speak OpenFlow"):
        openflow.flows("br0")


def test_a_bridge_that_is_not_there_is_told() -> None:
    with pytest.raises(HostFailure, match="does ovs-vswitchd run"):
        openflow.flows("br0")
