"""Reports: at once, periodically, and without making a noise while the control plane is away."""

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.reporting.report import Reporter, Reports
from kedge.agent.vif import Pluggers
from kedge.model.domain import VifState
from kedge.model.errors import Unreachable
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.wire.messages import HostDuties, HostReport
from kedge.wire.peer import Peer

from ..agent_stand_ins import NotedVifs

VIF = Vif("p", "n", "fa:16:3e:00:00:01", Segment(NetworkType.FLAT, "physnet1"), VifType.MACVTAP)


class Control:
    def __init__(self) -> None:
        self.reports: list[tuple[float, HostReport]] = []
        self.heartbeats: list[str] = []
        self.known = ""
        self.away = False
        self.tries = 0
        self.duties = HostDuties(report_every_s=0.3)

    def ask(
        self,
        _kind: Any,
        _method: str,
        path: str,
        *,
        body: HostReport | None = None,
        params: Any = None,
        timeout_s: float,
    ) -> HostDuties | bool:
        self.tries += 1
        if self.away:
            raise Unreachable("nobody there")
        if body is None:
            assert path == "/agent/v1/hosts/h1/heartbeat"
            self.heartbeats.append(params["report"])
            return bool(params["report"] == self.known)
        assert path == "/agent/v1/hosts/h1/report"
        self.reports.append((time.monotonic(), body))
        self.known = body.id
        return self.duties


class Parts:
    def __init__(self, config: AgentConfig, vifs: NotedVifs) -> None:
        self.control = Control()
        self.agent = Agent(config, cast(Pluggers, vifs))
        self.duties: list[HostDuties] = []
        self.reporter = Reporter(
            cast(Peer, self.control), "h1", self.agent.reports, lambda duties, _: self.duties.append(duties)
        )


@pytest.fixture
def parts(config: AgentConfig, vifs: NotedVifs) -> Any:
    parts = Parts(config, vifs)
    yield parts
    parts.reporter.close()
    parts.agent.close()


def test_reports_come_at_the_start_and_then_periodically(parts: Parts) -> None:
    parts.reporter.start()
    time.sleep(1.1)
    assert 3 <= len(parts.control.reports) <= 5
    assert len(parts.duties) == len(parts.control.reports)


def test_a_change_is_told_soon_and_many_at_once(parts: Parts) -> None:
    parts.control.duties = HostDuties(report_every_s=30)
    parts.reporter.start()
    time.sleep(0.3)
    assert len(parts.control.reports) == 1
    nudged = time.monotonic()
    for _ in range(20):
        parts.reporter.nudge()
    time.sleep(0.5)
    assert len(parts.control.reports) == 2
    assert parts.control.reports[1][0] - nudged < 0.4


def test_what_may_wait_is_told_with_what_may_not(parts: Parts) -> None:
    parts.control.duties = HostDuties(report_every_s=3600)
    parts.reporter.start()
    wait_for(lambda: len(parts.duties) == 1)
    parts.reporter.nudge(3600)
    began = time.monotonic()
    parts.reporter.nudge(0.2)
    parts.reporter.nudge(3600)
    wait_for(lambda: len(parts.duties) == 2)
    assert parts.control.reports[1][0] - began >= 0.2
    parts.reporter.nudge(0.1)
    wait_for(lambda: len(parts.duties) == 3)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_as_long_as_nothing_changes_heartbeats_confirm_the_duties(parts: Parts) -> None:
    parts.control.duties = HostDuties(report_every_s=0.05, heartbeats=True)
    parts.reporter.start()
    wait_for(lambda: len(parts.control.heartbeats) >= 5)
    (report,) = (body for _, body in parts.control.reports)
    assert set(parts.control.heartbeats) == {report.id}
    wait_for(lambda: len(parts.duties) >= 5)
    assert all(duties is parts.control.duties for duties in parts.duties)


def test_at_rest_heartbeats_come_less_often(parts: Parts, vifs: NotedVifs) -> None:
    parts.control.duties = HostDuties(report_every_s=2.0, heartbeats=True)
    assert [parts.reporter._report() for _ in range(9)] == [2.0] * 6 + [5.0] * 3
    vifs.made["p"] = VIF
    assert [parts.reporter._report() for _ in range(2)] == [2.0, 2.0]
    parts.control.known = "another"
    parts.control.duties = HostDuties(report_every_s=2.0)
    assert [parts.reporter._report() for _ in range(9)] == [2.0] * 9


def test_a_change_and_a_forgetful_control_plane_make_whole_reports(parts: Parts, vifs: NotedVifs) -> None:
    parts.control.duties = HostDuties(report_every_s=0.05, heartbeats=True)
    parts.reporter.start()
    wait_for(lambda: bool(parts.control.heartbeats))
    vifs.made["p"] = VIF
    wait_for(lambda: len(parts.control.reports) == 2)
    assert parts.control.reports[1][1].vifs == {"p": VifState.BUILD}
    parts.control.known = "another"
    wait_for(lambda: len(parts.control.reports) == 3)
    parts.control.away = True
    wait_for(lambda: parts.reporter._failures > 0)
    parts.control.away = False
    wait_for(lambda: len(parts.control.reports) == 4)
    assert len({body.id for _, body in parts.control.reports}) == 4


def test_an_absent_control_plane_is_tried_less_and_less(parts: Parts) -> None:
    parts.control.away = True
    parts.reporter.start()
    for _ in range(22):
        time.sleep(0.05)
        parts.reporter.nudge()
    assert parts.control.tries <= 3
    assert parts.duties == []
    parts.control.away = False
    deadline = time.monotonic() + 60
    while not parts.control.reports and time.monotonic() < deadline:
        time.sleep(0.05)
    assert parts.control.reports


def test_without_libvirtd_and_without_the_kernel_there_is_still_a_report(
    config: AgentConfig, vifs: NotedVifs
) -> None:
    agent = Agent(config, cast(Pluggers, vifs))
    reports = Reports(config, agent.hypervisor, agent.transfers, agent.vifs)
    vifs.fails = True
    segment = Segment(NetworkType.FLAT, "physnet1")
    reports.duties = HostDuties((Vif("p", "n", "fa:16:3e:00:00:01", segment, VifType.MACVTAP),))
    report = reports.build()
    assert (report.host, report.libvirt_version, report.running, report.vifs) == (
        "h1",
        0,
        (),
        {"p": VifState.ABSENT},
    )
    assert report.migration_network == "fast"
    vifs.fails = False
    assert reports.build().vifs == {"p": VifState.ABSENT}
    agent.close()


def test_the_vif_of_an_adopted_server_is_looked_for_under_its_own_name(
    config: AgentConfig, vifs: NotedVifs, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(config, cast(Pluggers, vifs))
    reports = Reports(config, agent.hypervisor, agent.transfers, agent.vifs)
    segment = Segment(NetworkType.FLAT, "physnet1")
    reports.duties = HostDuties(
        tuple(Vif(port, "n", f"FA:16:3E:00:00:0{port}", segment, VifType.BRIDGE) for port in "12")
    )
    nic = "<interface><mac address='fa:16:3e:00:00:01'/><target dev='vnet0'/></interface>"
    xmls = {"vm": f"<domain><devices>{nic}</devices></domain>"}
    monkeypatch.setattr(agent.hypervisor, "active_xmls", lambda: xmls)
    assert reports.build().vifs == {"1": VifState.UP, "2": VifState.ABSENT}
    agent.close()
