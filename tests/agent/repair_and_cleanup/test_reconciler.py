"""Looking after the host: two looks before anything goes, and nothing goes without the control plane's word."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.reporting.report import Reporter
from kedge.agent.vif import Pluggers
from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, HostFailure, KedgeError, Unreachable
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.wire.messages import DiscardOrder, HostDuties, PlugOrder
from kedge.wire.peer import Peer

from ..agent_stand_ins import NotedVifs

PORT = "11111111-2222-3333-4444-555555555555"
MAC = "fa:16:3e:00:00:01"
USED = (
    f"<domain><devices><interface type='ethernet'><mac address='{MAC}'/><target dev='tap{PORT[:11]}'/>"
    "</interface></devices></domain>"
)


def vif() -> Vif:
    return Vif(PORT, "net", MAC, Segment(NetworkType.FLAT, "physnet1"), VifType.BRIDGE)


class Domains:
    """What libvirt has, put before an agent's `Hypervisor`."""

    def __init__(self, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active: dict[str, str] = {}
        self.away = False
        monkeypatch.setattr(hypervisor, "active_xmls", self._xmls)

    def _xmls(self) -> dict[str, str]:
        if self.away:
            raise HostFailure("libvirtd does not answer")
        return self.active


class Host:
    """An agent with VIFs that are only noted. `say` is an answer of the control plane, looked at once."""

    def __init__(self, agent: Agent, vifs: NotedVifs, domains: Domains) -> None:
        self.agent, self.vifs, self.domains = agent, vifs, domains

    def say(self, *bound: Vif, age_s: float = 0.0, times: int = 1, **more: Any) -> None:
        for _ in range(times):
            self.agent.reconciler.take(HostDuties(bound, **more), time.monotonic() - age_s)
            self.agent.reconciler.look()

    def plug(self) -> None:
        self.agent.vifs.plug(PlugOrder((vif(),)))


@pytest.fixture
def host(config: AgentConfig, vifs: NotedVifs, monkeypatch: pytest.MonkeyPatch) -> Any:
    agent = Agent(config, cast(Pluggers, vifs))
    agent.connection.start()
    yield Host(agent, vifs, Domains(agent.hypervisor, monkeypatch))
    agent.close()


def test_two_looks_collect_a_vif(host: Host) -> None:
    host.plug()
    host.say()
    assert PORT in host.vifs.made
    host.say()
    assert host.vifs.made == {}


def test_one_answer_looked_at_twice_is_one_look(host: Host) -> None:
    host.plug()
    host.say()
    for _ in range(5):
        host.agent.reconciler.look()
    assert PORT in host.vifs.made


def test_two_looks_remove_what_is_loose(host: Host) -> None:
    host.vifs.lying_about = {"bridge brq1"}
    host.say()
    assert host.vifs.lying_about
    host.vifs.lying_about.add("bridge brq2")
    host.say()
    assert host.vifs.lying_about == {"bridge brq2"}


def test_nothing_counts_as_loose_while_a_vif_can_not_be_mended(host: Host) -> None:
    host.domains.active = {"vm": USED}
    host.vifs.refused = {PORT}
    host.vifs.lying_about = {"bridge brq1"}
    host.say(vif(), times=3)
    assert host.vifs.lying_about
    host.vifs.refused = set()
    host.say(vif(), times=2)
    assert not host.vifs.lying_about


def test_a_libvirtd_that_is_away_lets_nothing_go(host: Host) -> None:
    host.plug()
    host.vifs.lying_about = {"bridge brq1"}
    host.domains.away = True
    host.say(times=3)
    host.domains.away = False
    host.say()
    assert PORT in host.vifs.made
    assert host.vifs.lying_about


def test_without_duties_nothing_is_done(host: Host) -> None:
    host.plug()
    host.vifs.lying_about = {"bridge brq1"}
    host.domains.active = {"vm": USED}
    for _ in range(3):
        host.agent.reconciler.look()
    assert PORT in host.vifs.made
    assert host.vifs.lying_about
    assert host.vifs.mended == []


def test_what_is_missing_is_mended_also_while_the_control_plane_is_away(host: Host) -> None:
    host.domains.active = {"vm": USED}
    host.say(vif())
    assert host.vifs.mended == [(PORT, 1)]
    host.vifs.made.clear()
    host.agent.reconciler.look()
    assert host.vifs.mended == [(PORT, 1)] * 2
    host.agent.reconciler.look()
    assert host.vifs.mended == [(PORT, 1)] * 2


def test_old_duties_let_nothing_go(host: Host) -> None:
    host.plug()
    host.say(age_s=60, times=3)
    assert PORT in host.vifs.made


def test_the_thread_looks_when_duties_come_and_goes_on_after_them(host: Host) -> None:
    host.domains.active = {"vm": USED}
    host.agent.reconciler.start()
    host.agent.reconciler.take(HostDuties((vif(),), report_every_s=0.1), time.monotonic())
    until(lambda: PORT in host.vifs.made)
    host.vifs.made.clear()
    until(lambda: PORT in host.vifs.made)


def test_many_changes_need_no_more_looks_than_duties_are_due(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(host.agent.reconciler, "look", lambda: looks.append(time.monotonic()))
    host.agent.reconciler.start()
    while len(looks) < 4:
        host.agent.reconciler.take(HostDuties((vif(),), report_every_s=0.2), time.monotonic())
        time.sleep(0.01)
    assert all(later - earlier >= 0.2 for earlier, later in pairwise(looks))


def test_what_vifs_share_is_looked_at_seldom_while_the_vifs_stay(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def loose() -> frozenset[str]:
        looks.append(1)
        return frozenset(host.vifs.lying_about)

    monkeypatch.setattr(host.vifs, "loose", loose)
    host.say(vif(), times=9)
    assert len(looks) == 3
    host.plug()
    host.say(vif())
    assert len(looks) == 4
    host.vifs.lying_about = {"flow"}
    host.say(vif(), times=3)
    assert (len(looks), host.vifs.lying_about) == (5, {"flow"})
    host.say(vif())
    assert (len(looks), host.vifs.lying_about) == (6, set())


def test_a_look_that_breaks_is_not_the_last(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [RuntimeError("a bug")]
    look = host.agent.reconciler.look

    def breaks_once() -> None:
        if broken:
            raise broken.pop()
        look()

    monkeypatch.setattr(host.agent.reconciler, "look", breaks_once)
    host.domains.active = {"vm": USED}
    host.agent.reconciler.start()
    host.agent.reconciler.take(HostDuties((vif(),), report_every_s=0.1), time.monotonic())
    until(lambda: PORT in host.vifs.made)
    assert not broken


class Control:
    """Answers reports with what a test says."""

    def __init__(self) -> None:
        self.answer: HostDuties | KedgeError = Unreachable("nobody there")
        self.asked = 0

    def ask(self, _kind: Any, _method: str, _path: str, *, body: object, timeout_s: float) -> HostDuties:
        self.asked += 1
        if isinstance(self.answer, KedgeError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        Unreachable("nobody there"),
        Conflict("the agent speaks another version"),
        HostDuties(known=False, report_every_s=0.02, discard={"vm": DiscardOrder((DomainState.INCOMING,))}),
    ],
    ids=["the control plane is away", "it speaks another version", "the network service is away"],
)
def test_what_could_not_be_learnt_removes_nothing(host: Host, answer: HostDuties | KedgeError) -> None:
    host.plug()
    host.vifs.lying_about = {"bridge brq1"}
    control = Control()
    control.answer = answer
    reporter = Reporter(cast(Peer, control), "h1", host.agent.reports, host.agent.reconciler.take)
    host.agent.reconciler.start()
    reporter.start()
    until(lambda: control.asked >= (5 if isinstance(answer, HostDuties) else 2))
    assert PORT in host.vifs.made
    assert host.vifs.lying_about
    control.answer = HostDuties(report_every_s=0.02)
    until(lambda: not host.vifs.made and not host.vifs.lying_about)
    reporter.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
