"""/agent/v1: what agents tell the control plane, and what it answers (see `kedge.wire.messages`)."""

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter

from kedge.model.errors import BadRequest, Forbidden
from kedge.wire.messages import HostDuties, HostReport

from ..service import HostRegistry
from .peer import Peer

_THREADS = 16
"""Of the reports' own: clients' requests, which may wait for hosts and databases, hold up no report."""


def agent_router(hosts: HostRegistry, *, trust_local: bool = False) -> APIRouter:
    """The route for agents' reports.

    An agent speaks for the host that its certificate names and for no other. `trust_local` lets connections
    without a certificate speak for any host: for tests, and for a socket that only root can reach.
    """
    threads = CapacityLimiter(_THREADS)
    router = APIRouter(prefix="/agent/v1", tags=["agents of Kedge"])

    @router.post("/hosts/{host}/report")
    async def report(host: str, body: HostReport, peer: Peer) -> HostDuties:
        """Take a host's report; answer with the VIFs that belong on it."""
        _check_peer(host, peer, trust_local)
        if body.host != host:
            raise BadRequest(
                f"The report is of host {body.host!r} but was sent as {host!r}; send it as its own."
            )
        return await to_thread.run_sync(_taken, hosts, body, limiter=threads)

    return router


def _taken(hosts: HostRegistry, report: HostReport) -> HostDuties:
    hosts.record_host(report)
    return hosts.duties(report.host)


def _check_peer(host: str, peer: str | None, trust_local: bool) -> None:
    if peer is None and not trust_local:
        raise Forbidden(
            f"A report of host {host!r} needs that host's certificate; connect with TLS and present it."
        )
    if peer is not None and peer != host:
        raise Forbidden(f"The certificate of {peer!r} can't speak for host {host!r}.")
