"""What a plan asks the destination, and the question that both hosts' answers make."""

from kedge.core.domain_xml.parse import parse
from kedge.core.obstacles import Question, asks_destination, notes
from kedge.model.errors import BadRequest
from kedge.model.host import Host
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.model.server import Server
from kedge.wire.plans import Arrival, Departure

from ..records.rooms import Records


def arrival_request(here: Departure | None) -> FactsRequest:
    """What is asked of the destination for a domain; without one that can be read, nothing in particular."""
    if here is None or not here.xml:
        return FactsRequest()
    try:
        return asks_destination(parse(here.xml), here.live_xml, here.facts)
    except BadRequest:
        return FactsRequest()


def question_of(
    server: Server, destination: Host, here: Departure, there: Arrival, records: Records
) -> tuple[Question, list[str]]:
    """The question whether this server can move, and notes on what could not be told.

    Of a host that could not tell what it has nothing is known, and so nothing of it is in the way. Raises BadRequest
    for XML that can't be read.
    """
    unknown = [*_unknown(server.host, here.facts, here.trouble)]
    unknown += _unknown(destination.name, there.facts, there.trouble)
    limits, load = records.state.settings.limits, records.fleet.load(destination.name)
    question = Question(
        parse(here.xml),
        server.host,
        destination.name,
        here.facts,
        there.facts,
        destination.libvirt_uri,
        limits,
        load,
    )
    return question, [*unknown, *notes(question)]


def _unknown(host: str, facts: HostFacts, trouble: str) -> list[str]:
    if trouble:
        return [
            f"{host} could not be asked what it has, so what of it may be in the way is not known ({trouble})"
        ]
    return [f"{host}: {each}" for each in facts.troubles]
