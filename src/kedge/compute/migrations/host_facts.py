"""Asking both hosts for what a plan needs to know of them."""

from kedge.core.domain_xml.parse import parse
from kedge.core.obstacles import Question, asks_destination, asks_source, notes
from kedge.model.errors import KedgeError
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.model.server import Server

from ..hosts.agents import Agents
from ..records.rooms import Records


def gather(
    agents: Agents, server: Server, xml: str, destination: str, records: Records
) -> tuple[Question, list[str]]:
    """The question whether this server, of which `xml` migrates, can move, and notes on what could not be told.

    Of a host whose agent does not answer in time, or is too old to be asked, nothing is known, and so nothing of it
    is in the way. Raises BadRequest for XML that can't be read.
    """
    domain, uri = parse(xml), agents.host(destination).libvirt_uri
    unknown: list[str] = []
    here = _ask(agents, server.host, asks_source(domain, uri), unknown)
    request = asks_destination(domain, _live(agents, server, xml), here)
    there = _ask(agents, destination, request, unknown)
    limits, load = records.state.settings.limits, records.fleet.load(destination)
    question = Question(domain, server.host, destination, here, there, uri, limits, load)
    return question, [*unknown, *notes(question)]


def _live(agents: Agents, server: Server, xml: str) -> str:
    """The domain as it runs; as it migrates, if it can't be had now."""
    try:
        return agents.agent(server.host).domain_xml(server.id)
    except KedgeError:
        return xml


def _ask(agents: Agents, host: str, request: FactsRequest, unknown: list[str]) -> HostFacts:
    try:
        facts = agents.agent(host).facts(request)
    except KedgeError as error:
        unknown.append(
            f"{host} could not be asked what it has, so what of it may be in the way is not known ({error}); "
            "is its agent as new as the control plane?"
        )
        return HostFacts()
    unknown += [f"{host}: {trouble}" for trouble in facts.troubles]
    return facts
