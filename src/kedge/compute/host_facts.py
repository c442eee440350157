"""Asking both hosts for what a plan needs to know of them."""

from kedge.core.obstacles import Question, ask_host, question
from kedge.model.errors import KedgeError
from kedge.model.host_facts import FactsRequest, HostFacts

from .agents import Agents


def gather(agents: Agents, xml: str, source: str, destination: str) -> tuple[Question, list[str]]:
    """The question about this domain, with what both agents answer, and notes on what they could not tell.

    Of a host whose agent does not answer in time, or is too old to be asked, nothing is known, and so nothing of it
    is in the way. Raises BadRequest for XML that can't be read.
    """
    request = ask_host(xml)
    notes: list[str] = []
    here, there = (_ask(agents, host, request, notes) for host in (source, destination))
    return question(xml, source, destination, here, there), notes


def _ask(agents: Agents, host: str, request: FactsRequest, notes: list[str]) -> HostFacts:
    try:
        facts = agents.agent(host).facts(request)
    except KedgeError as error:
        notes.append(
            f"{host} could not be asked what it has, so what of it may be in the way is not known ({error}); "
            "is its agent as new as the control plane?"
        )
        return HostFacts()
    notes += [f"{host}: {trouble}" for trouble in facts.troubles]
    return facts
