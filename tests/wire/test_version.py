"""Agents and control planes of another version of the wire are refused in clear words, and both sides say so."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from fastapi import FastAPI

from kedge.model.errors import Conflict, HostFailure, KedgeError
from kedge.serving.server import Listener, running
from kedge.wire.messages import WIRE, HostDuties, HostReport
from kedge.wire.peer import Peer
from kedge.wire.version import SameWire, kedge_version, wire_headers


def report() -> HostReport:
    return HostReport("h1", "https://h1", (), "qemu:///system", "tcp://h1")


class Side:
    """A side that takes reports and answers with no duties."""

    def __init__(self, url: str, taken: list[HostReport], logged: list[Any]) -> None:
        self.url, self.taken, self.logged = url, taken, logged

    def send(self) -> HostDuties:
        peer = Peer("the control plane", self.url, None)
        try:
            return peer.ask(HostDuties, "POST", "/report", body=report())
        finally:
            peer.close()


def served(error: type[KedgeError], own: str, other: str) -> Iterator[Side]:
    app, taken = FastAPI(), []

    @app.post("/report")
    def take(body: HostReport) -> HostDuties:
        taken.append(body)
        return HostDuties()

    listener = Listener.tcp("127.0.0.1", 0)
    with (
        structlog.testing.capture_logs() as logged,
        running(SameWire(app, own=own, other=other, error=error), [listener]),
    ):
        yield Side(f"http://127.0.0.1:{listener.port}", taken, logged)


@pytest.fixture
def control_plane() -> Iterator[Side]:
    yield from served(Conflict, "the control plane", "the agent of")


@pytest.fixture
def agent() -> Iterator[Side]:
    yield from served(HostFailure, "this agent", "the control plane")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is a later version."""
    headers = {"kedge-wire": str(WIRE + 1), "kedge-version": "9.8"}
    monkeypatch.setattr("kedge.wire.peer.wire_headers", lambda: dict(headers))


def test_the_same_version_passes(control_plane: Side) -> None:
    assert control_plane.send() == HostDuties()
    assert len(control_plane.taken) == 1
    assert control_plane.logged == []


@pytest.mark.usefixtures("later")
def test_an_agent_of_another_version_is_refused(control_plane: Side) -> None:
    for _ in range(3):
        with pytest.raises(Conflict) as refused:
            control_plane.send()
    message = str(refused.value)
    assert f"speaks version {WIRE + 1} of the messages" in message
    assert "(Kedge 9.8)" in message
    assert f"the control plane version {WIRE} (Kedge {kedge_version()})" in message
    assert "install the same version of Kedge on both" in message
    assert control_plane.taken == []
    assert [(entry["log_level"], entry["error"]) for entry in control_plane.logged] == [("warning", message)]


@pytest.mark.usefixtures("later")
def test_an_order_of_another_version_counts_as_the_hosts_failure(agent: Side) -> None:
    """So that a conductor treats the host as one that it can't reach."""
    with pytest.raises(HostFailure, match=f"and this agent version {WIRE}"):
        agent.send()
    assert agent.taken == []
    assert len(agent.logged) == 1


def test_a_report_says_its_version_in_itself_too() -> None:
    assert report().wire == WIRE
    assert wire_headers() == {"kedge-wire": str(WIRE), "kedge-version": kedge_version()}
