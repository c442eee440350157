"""The control plane's client of an agent: one method per call of `kedge.wire.messages`.

Each raises the KedgeError that the agent answered, or Unreachable when it did not answer in time. All calls
are idempotent, so after Unreachable the same call may simply be made again.
"""

import ssl

from kedge.model.domain import DomainSummary, HostView, TransferOrder, VifReport
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.model.host_network import HostNetwork
from kedge.wire.messages import (
    AnnounceOrder,
    DiscardOrder,
    HostReport,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    RewireOrder,
    RewireResults,
    Side,
    SidesRequest,
    TransferTuning,
    UnplugOrder,
    VifResults,
)
from kedge.wire.peer import Peer
from kedge.wire.plans import Arrival, Departure, DepartureRequest

# Seconds. Looking is quick; starting or destroying a domain, and plugging, wait for QEMU and the kernel.
_LOOK_S, _ACT_S = 10.0, 60.0
# A plan's facts come from file servers and other hosts, too, of which the agent waits for each a few seconds.
_FACTS_S = 20.0


class AgentClient:
    """Speaks to one agent. Thread-safe; keeps its connections open."""

    def __init__(self, url: str, context: ssl.SSLContext | None, *, host: str) -> None:
        """`context` is a client context with a `control` certificate.

        What answers at `url` must have the certificate of `host`: an agent may have reported another's address.
        """
        self._peer = Peer(f"the agent of {host}", url, context, holder=host)

    def close(self) -> None:
        """Close the connections."""
        self._peer.close()

    def host(self) -> HostReport:
        """What the host has."""
        return self._peer.ask(HostReport, "GET", "/v1/host", timeout_s=_LOOK_S)

    def facts(self, request: FactsRequest) -> HostFacts:
        """What the host can do, and what is at these paths."""
        return self._peer.ask(
            HostFacts, "POST", "/v1/facts", body=request, timeout_s=_FACTS_S + request.measure_s
        )

    def domains(self) -> list[DomainSummary]:
        """Every domain on the host."""
        return self._peer.ask(list[DomainSummary], "GET", "/v1/domains", timeout_s=_LOOK_S)

    def domain_xml(self, uuid: str, *, migratable: bool = False) -> str:
        """A domain's live XML, or the text that migrates. Raises NotFound."""
        answer = self._peer.ask(
            dict[str, str],
            "GET",
            f"/v1/domains/{uuid}/xml",
            params={"migratable": int(migratable)},
            timeout_s=_LOOK_S,
        )
        return answer["xml"]

    def network(self) -> HostNetwork:
        """How the host's devices hang together."""
        return self._peer.ask(HostNetwork, "GET", "/v1/network", timeout_s=_LOOK_S)

    def create_domain(self, uuid: str, xml: str) -> None:
        """Define and start a domain; a running one is left alone."""
        self._peer.call("PUT", f"/v1/domains/{uuid}", body={"xml": xml}, timeout_s=_ACT_S)

    def delete_domain(self, uuid: str) -> None:
        """Destroy and undefine a domain."""
        self._peer.call("DELETE", f"/v1/domains/{uuid}", timeout_s=_ACT_S)

    def discard_domain(self, uuid: str, order: DiscardOrder) -> None:
        """Remove what a migration left; raises Conflict when the domain is in another state than `only_in`."""
        self._peer.call("POST", f"/v1/domains/{uuid}/discard", body=order, timeout_s=_ACT_S)

    def resume_domain(self, uuid: str, order: ResumeOrder) -> None:
        """Run a VM again that a dead migration left paused; raises Conflict otherwise."""
        self._peer.call("POST", f"/v1/domains/{uuid}/resume", body=order, timeout_s=_ACT_S)

    def observe(self, uuid: str, request: ObserveRequest) -> HostView:
        """One server on this host; waits up to `request.wait_ms` for a change from `request.seen`."""
        return self._peer.ask(
            HostView,
            "POST",
            f"/v1/domains/{uuid}/observe",
            body=request,
            timeout_s=_LOOK_S + request.wait_ms / 1000,
        )

    def departure(self, uuid: str, request: DepartureRequest) -> Departure:
        """What a plan must know of a server where it is."""
        return self._peer.ask(
            Departure, "POST", f"/v1/domains/{uuid}/departure", body=request, timeout_s=_FACTS_S
        )

    def arrival(self, uuid: str, request: FactsRequest) -> Arrival:
        """What a plan must know of the host that a server is to go to."""
        return self._peer.ask(
            Arrival, "POST", f"/v1/domains/{uuid}/arrival", body=request, timeout_s=_FACTS_S
        )

    def start_transfer(self, order: TransferOrder) -> None:
        """Start a live migration; one that this order started already is left alone."""
        self._peer.call("PUT", f"/v1/transfers/{order.migration_id}", body=order, timeout_s=_LOOK_S)

    def tune_transfer(self, migration_id: str, tuning: TransferTuning) -> None:
        """Change a running transfer."""
        self._peer.call("PATCH", f"/v1/transfers/{migration_id}", body=tuning, timeout_s=_LOOK_S)

    def abort_transfer(self, migration_id: str, epoch: int, server_id: str | None = None) -> None:
        """Abort a transfer; one that is over is fine. Raises Conflict after the switch to post-copy.

        With `server_id` the transfer is ended also by an agent that has forgotten whose it is.
        """
        path = f"/v1/transfers/{migration_id}"
        params: dict[str, str | int] = {"epoch": epoch} | ({"server": server_id} if server_id else {})
        self._peer.call("DELETE", path, params=params, timeout_s=_LOOK_S)

    def vifs(self) -> list[VifReport]:
        """Every VIF that Kedge made on the host."""
        return self._peer.ask(list[VifReport], "GET", "/v1/vifs", timeout_s=_LOOK_S)

    def plug(self, order: PlugOrder) -> VifResults:
        """Plug, wire and verify VIFs; the results say which of them failed, and why."""
        return self._peer.ask(VifResults, "POST", "/v1/vifs/plug", body=order, timeout_s=_ACT_S)

    def unplug(self, order: UnplugOrder) -> VifResults:
        """Unplug whatever Kedge made on the host for ports; the results say for which that failed, and why."""
        return self._peer.ask(VifResults, "POST", "/v1/vifs/unplug", body=order, timeout_s=_ACT_S)

    def sides(self, request: SidesRequest) -> dict[str, Side]:
        """In which of two switches the tap of each of these ports is."""
        return self._peer.ask(dict[str, Side], "POST", "/v1/vifs/sides", body=request, timeout_s=_LOOK_S)

    def rewire(self, order: RewireOrder) -> RewireResults:
        """Take a step of moving taps between switches; the results say for which ports that failed, and why."""
        return self._peer.ask(RewireResults, "POST", "/v1/vifs/rewire", body=order, timeout_s=_ACT_S)

    def announce(self, order: AnnounceOrder) -> None:
        """Announce a VM from this host."""
        self._peer.call("POST", "/v1/vifs/announce", body=order, timeout_s=_ACT_S)
