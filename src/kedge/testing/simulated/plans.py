"""How agents that are none answer a plan's two questions: by those that they answer besides."""

from typing import Protocol

from kedge.core.domain_xml.parse import parse
from kedge.core.obstacles import asks_source
from kedge.model.domain import DomainState, HostView
from kedge.model.errors import BadRequest, KedgeError
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.wire.messages import HostReport, ObserveRequest
from kedge.wire.plans import Arrival, Departure, DepartureRequest


class Answers(Protocol):
    """What is needed of an agent."""

    def host(self) -> HostReport: ...  # noqa: D102 - as `kedge.compute.hosts.agents.Agent`
    def facts(self, request: FactsRequest) -> HostFacts: ...  # noqa: D102
    def domain_xml(self, uuid: str, *, migratable: bool = False) -> str: ...  # noqa: D102
    def observe(self, uuid: str, request: ObserveRequest) -> HostView: ...  # noqa: D102


def departure(agent: Answers, uuid: str, request: DepartureRequest) -> Departure:
    """As the real agent answers it."""
    view = agent.observe(uuid, ObserveRequest(request.vifs, check_vifs=False, macs=True))
    address = agent.host().graphics_address
    if view.domain is DomainState.ABSENT:
        return Departure(view.domain, view.job, graphics_address=address)
    xml = agent.domain_xml(uuid, migratable=True)
    try:
        facts, trouble = _facts(agent, asks_source(parse(xml), request.libvirt_uri))
    except BadRequest as error:
        facts, trouble = HostFacts(), str(error)
    return Departure(view.domain, view.job, xml, agent.domain_xml(uuid), view.macs, facts, trouble, address)


def arrival(agent: Answers, uuid: str, request: FactsRequest) -> Arrival:
    """As the real agent answers it."""
    facts, trouble = _facts(agent, request)
    state = agent.observe(uuid, ObserveRequest()).domain
    return Arrival(state, facts, trouble, agent.host().graphics_address)


def _facts(agent: Answers, request: FactsRequest) -> tuple[HostFacts, str]:
    try:
        return agent.facts(request), ""
    except KedgeError as error:
        return HostFacts(), str(error)
