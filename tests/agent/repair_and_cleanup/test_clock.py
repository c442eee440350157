"""A host whose clock is minutes off, or is set while the agent runs, decides nothing otherwise; it only says so."""

import time
from typing import cast

import pytest

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.vif import Pluggers
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.wire.messages import HostDuties, PlugOrder

from ..agent_stand_ins import NotedVifs

PORT = "11111111-2222-3333-4444-555555555555"
MINUTES_S = 17 * 60


@pytest.mark.parametrize("offset_s", [-MINUTES_S, MINUTES_S])
def test_leftovers_go_after_two_looks_and_not_before(
    config: AgentConfig, vifs: NotedVifs, monkeypatch: pytest.MonkeyPatch, offset_s: float
) -> None:
    agent = Agent(config, cast(Pluggers, vifs))
    agent.connection.start()
    monkeypatch.setattr(agent.hypervisor, "active_xmls", dict)
    try:
        agent.vifs.plug(
            PlugOrder((Vif(PORT, "n", "fa:16:3e:00:00:01", Segment(NetworkType.FLAT, "p"), VifType.OVS),))
        )
        agent.reconciler.take(HostDuties(), time.monotonic())
        agent.reconciler.look()
        right = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: right + int(offset_s * 1e9))
        monkeypatch.setattr(time, "time", lambda: right / 1e9 + offset_s)
        assert PORT in vifs.made
        assert agent.reports.build().now_ns == right + int(offset_s * 1e9)
        agent.reconciler.take(HostDuties(), time.monotonic())
        agent.reconciler.look()
        assert vifs.made == {}
    finally:
        agent.close()
