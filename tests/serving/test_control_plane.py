"""Strangers against a control plane as people run it: root's socket and the agents are served all the same."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from kedge.config import ControlPlaneConfig
from kedge.model.errors import KedgeError
from kedge.trust.certificates import CertificateAuthority, Credentials, Role, client_context
from kedge.wire.messages import HostDuties, HostReport
from kedge.wire.peer import Peer

from ..processes import free_port, serving

DESCRIPTORS = 256
REPORT = HostReport(
    "h1", "https://192.0.2.1:9797", (), "qemu+tls://192.0.2.1/system", "tcp://192.0.2.1", 9_000_000
)


@dataclass
class Attacked:
    """A control plane that may have few descriptors."""

    clients: tuple[str, int]
    agents: tuple[str, int]
    socket: Path
    log: Path
    agent: Credentials

    def root_asks(self) -> int:
        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(self.socket)), timeout=20) as client:
            return client.get("http://kedge/kedge/v1/hosts").status_code

    @contextmanager
    def reporting(self) -> Iterator[Peer]:
        peer = Peer("the control plane", f"https://127.0.0.1:{self.agents[1]}", client_context(self.agent))
        yield peer
        peer.close()

    def agent_reports(self) -> HostDuties:
        with self.reporting() as peer:
            return peer.ask(HostDuties, "POST", "/agent/v1/hosts/h1/report", body=REPORT, timeout_s=20)


@pytest.fixture(params=[1, 2])
def attacked(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Attacked]:
    agents = ("127.0.0.1", free_port())
    config = ControlPlaneConfig(
        state_dir=tmp_path / "state",
        socket=tmp_path / "kedge.sock",
        agents="{}:{}".format(*agents),
        workers=request.param,
    )
    with serving(config, tmp_path, descriptors=DESCRIPTORS) as url:
        authority = CertificateAuthority.open(config.pki_dir)
        agent = authority.issue("h1", Role.AGENT, ["127.0.0.1"], tmp_path)
        port = int(url.rpartition(":")[2])
        yield Attacked(("127.0.0.1", port), agents, tmp_path / "kedge.sock", tmp_path / "kedge.log", agent)


def flood(stack: ExitStack, address: tuple[str, int], number: int) -> None:
    """Open connections that nothing is sent on, from several addresses; those that are refused may fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    for each in range(number):
        made = stack.enter_context(socket.socket())
        made.bind((f"127.0.0.{2 + each % 7}", 0))
        made.settimeout(5)
        made.connect(address)


def test_idle_connections_take_nobody_else_s_descriptors(attacked: Attacked) -> None:
    with ExitStack() as stack:
        flood(stack, attacked.clients, 550)
        flood(stack, attacked.agents, 550)
        assert attacked.root_asks() == 200
        assert attacked.agent_reports() == HostDuties()
        answer = httpx2.get("http://{}:{}/network/v2.0/networks".format(*attacked.clients), timeout=20)
        assert answer.status_code == 200
    log = attacked.log.read_text()
    assert "an idle connection gave way" in log
    assert "Too many open files" not in log
    assert "fewer connections are served than configured" in log
    assert len(log.splitlines()) < 50


@pytest.mark.parametrize("attacked", [1], indirect=True)
def test_a_report_as_large_as_a_disk_is_refused(attacked: Attacked) -> None:
    large = HostReport(**{**vars(REPORT), "running": ("x" * 36,) * 1_600_000})
    with attacked.reporting() as peer, pytest.raises(KedgeError):
        peer.call("POST", "/agent/v1/hosts/h1/report", body=large, timeout_s=20)
    assert "the body is larger than 4194304 bytes" in attacked.log.read_text()
    assert attacked.agent_reports() == HostDuties()


@pytest.mark.parametrize("attacked", [1], indirect=True)
def test_a_heartbeat_is_taken_only_of_the_host_of_the_certificate(attacked: Attacked) -> None:
    report = HostReport(**{**vars(REPORT), "id": "one"})
    with attacked.reporting() as peer:
        duties = peer.ask(HostDuties, "POST", "/agent/v1/hosts/h1/report", body=report)
        assert duties == HostDuties(heartbeats=True)
        beats = {"one": True, "another": False}
        for report_id, held in beats.items():
            path = "/agent/v1/hosts/h1/heartbeat"
            assert peer.ask(bool, "POST", path, params={"report": report_id}) is held
        with pytest.raises(KedgeError):
            peer.call("POST", "/agent/v1/hosts/h2/heartbeat", params={"report": "one"})
