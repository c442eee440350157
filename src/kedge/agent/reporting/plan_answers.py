"""What a plan is answered: all that it must know of a server on this host, or of this host for a server, at once."""

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.host.facts import FactsOfHost
from kedge.agent.reporting.host_view import Observer
from kedge.core.domain_xml.parse import parse
from kedge.core.obstacles import asks_source
from kedge.model.domain import DomainState
from kedge.model.errors import BadRequest, KedgeError, NotFound
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.wire.messages import ObserveRequest
from kedge.wire.plans import Arrival, Departure, DepartureRequest


class PlanAnswers:
    """Answers from the parts that look; `consoles` is where VMs' consoles listen."""

    def __init__(self, observer: Observer, hypervisor: Hypervisor, facts: FactsOfHost, consoles: str) -> None:
        self._observer = observer
        self._hypervisor = hypervisor
        self._facts = facts
        self._consoles = consoles

    def departure(self, uuid: str, request: DepartureRequest) -> Departure:
        """Of a server that may leave. Raises HostFailure while libvirtd does not answer."""
        view = self._observer.observe(uuid, ObserveRequest(request.vifs, check_vifs=False, macs=True))
        absent = Departure(DomainState.ABSENT, graphics_address=self._consoles)
        if view.domain is DomainState.ABSENT:
            return absent
        try:
            xml, live = self._hypervisor.xml(uuid, migratable=True), self._hypervisor.xml(uuid)
        except NotFound:  # it went just now
            return absent
        facts, trouble = HostFacts(), ""
        try:
            facts, trouble = self._look(asks_source(parse(xml), request.libvirt_uri))
        except BadRequest as error:  # whoever rewrites the XML says so, too
            trouble = str(error)
        return Departure(view.domain, view.job, xml, live, view.macs, facts, trouble, self._consoles)

    def arrival(self, uuid: str, request: FactsRequest) -> Arrival:
        """Of this host, where the server may go. Raises as `departure`."""
        facts, trouble = self._look(request)
        return Arrival(self._hypervisor.look(uuid).state, facts, trouble, self._consoles)

    def _look(self, request: FactsRequest) -> tuple[HostFacts, str]:
        try:
            return self._facts.look(request), ""
        except KedgeError as error:
            return HostFacts(), str(error)
