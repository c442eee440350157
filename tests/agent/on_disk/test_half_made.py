"""Domains whose making was cut short, and the guards under which a domain that nobody needs is removed."""

import json
from typing import cast
from uuid import uuid4

import pytest

from kedge.agent.agent import Agent
from kedge.agent.config import AgentConfig
from kedge.agent.domains.hypervisor import Instance
from kedge.agent.vif import Pluggers
from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, HostFailure
from kedge.wire.messages import DiscardOrder

from ..agent_stand_ins import NotedVifs, Running
from ..test_app import xml_of

RUNNING, SHUTOFF = DomainState.RUNNING, DomainState.SHUTOFF


class Killed(BaseException):
    """kill -9."""


@pytest.fixture
def uuid() -> str:
    return str(uuid4())


def define(running: Running, uuid: str) -> None:
    running.agent.connection.get().defineXML(xml_of(uuid))


def test_a_domain_that_was_made_is_not_half_made(running_agent: Running, uuid: str) -> None:
    running_agent.client.create_domain(uuid, xml_of(uuid))
    report = running_agent.client.host()
    assert (report.half_made, report.domains[uuid]) == ((), RUNNING)
    running_agent.client.delete_domain(uuid)
    assert uuid not in running_agent.client.host().domains


def test_one_that_could_not_be_made_is_forgotten(running_agent: Running, uuid: str) -> None:
    with pytest.raises(HostFailure):
        running_agent.client.create_domain(uuid, f"<domain type='test'><uuid>{uuid}</uuid></domain>")
    running_agent.agent.hypervisor.end_made()
    assert running_agent.client.host().half_made == ()


def test_an_agent_that_was_killed_in_between_knows_it_when_it_starts_again(
    running_agent: Running, config: AgentConfig, monkeypatch: pytest.MonkeyPatch, uuid: str
) -> None:
    """libvirt's test driver is in this process, so the domain is seen by both agents."""

    def killed(_name: str) -> None:
        raise Killed

    hypervisor = running_agent.agent.hypervisor
    monkeypatch.setattr(hypervisor._half_made, "end", killed)
    with pytest.raises(Killed):
        hypervisor.create(uuid, xml_of(uuid))
    again = Agent(config, cast(Pluggers, NotedVifs()))
    again.connection.start()
    try:
        assert again.hypervisor.half_made == {uuid}
        hypervisor.domain(uuid).destroy()
        again.hypervisor.end_made()
        # Shut off as it is, it may be one that was never started: the control plane is to say.
        assert again.reports.build().half_made == (uuid,)
        hypervisor.domain(uuid).create()
        again.hypervisor.end_made()
        assert again.reports.build().half_made == ()
        assert json.loads((config.state_dir / "half-made.json").read_text()) == {}
    finally:
        again.close()


def test_every_domain_is_reported_as_it_is(running_agent: Running, uuid: str) -> None:
    define(running_agent, uuid)
    assert running_agent.client.host().domains[uuid] is SHUTOFF
    domain = running_agent.agent.hypervisor.domain(uuid)
    domain.create()
    assert running_agent.client.host().domains[uuid] is RUNNING
    domain.suspend()
    assert running_agent.client.host().domains[uuid] is DomainState.PAUSED


def test_another_instance_is_not_discarded(running_agent: Running, uuid: str) -> None:
    hypervisor = running_agent.agent.hypervisor
    define(running_agent, uuid)
    (seen,) = hypervisor.instances([uuid, str(uuid4())]).values()
    assert seen == Instance(-1, SHUTOFF)
    order = DiscardOrder((SHUTOFF, RUNNING))
    domain = hypervisor.domain(uuid)
    domain.create()
    with pytest.raises(Conflict, match="started anew"):
        hypervisor.discard(uuid, order, seen)
    running = Instance(domain.ID(), RUNNING)
    with pytest.raises(Conflict, match="started anew"):
        hypervisor.discard(uuid, order, Instance(running.number + 1, RUNNING))
    assert hypervisor.instances([uuid]) == {uuid: running}
    domain.destroy()
    hypervisor.discard(uuid, order, seen)
    assert hypervisor.instances([uuid]) == {}
    hypervisor.discard(uuid, order, seen)


def test_one_that_is_started_in_the_instant_of_its_removal_goes_on(
    running_agent: Running, monkeypatch: pytest.MonkeyPatch, uuid: str
) -> None:
    hypervisor = running_agent.agent.hypervisor
    define(running_agent, uuid)
    assert not hypervisor.every_instance()[uuid].is_active
    remove = hypervisor._remove

    def started_first(uuid: str, *, destroy: bool = True) -> None:
        hypervisor.domain(uuid).create()
        remove(uuid, destroy=destroy)

    monkeypatch.setattr(hypervisor, "_remove", started_first)
    with pytest.raises(HostFailure, match="still there"):
        hypervisor.discard(uuid, DiscardOrder((SHUTOFF,)), Instance(-1, SHUTOFF))
    found = hypervisor.every_instance()[uuid]
    assert (found.state, found.is_active) == (RUNNING, True)
    hypervisor.domain(uuid).destroy()
