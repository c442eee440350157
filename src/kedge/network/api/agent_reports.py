"""/agent/v1: what agents tell the control plane, and what it answers (see `kedge.wire.messages`)."""

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from kedge.model.errors import BadRequest, Forbidden
from kedge.wire.encoding import from_json, to_json
from kedge.wire.messages import HostReport

from ..service import HostRegistry
from .peer import name_of

_THREADS = 16
"""Of the reports' own: clients' requests, which may wait for hosts and databases, hold up no report."""


def agent_router(hosts: HostRegistry, *, trust_local: bool = False) -> APIRouter:
    """The route for agents' reports.

    An agent speaks for the host that its certificate names and for no other. `trust_local` lets connections
    without a certificate speak for any host: for tests, and for a socket that only root can reach.
    """
    threads = CapacityLimiter(_THREADS)
    router = APIRouter()

    async def report(request: Request) -> Response:
        """Take a host's report; answer with the VIFs that belong on it.

        FastAPI would take five times as long to take it apart by itself, and hosts report at each change.
        """
        host = request.path_params["host"]
        _check_peer(host, name_of(request), trust_local)
        answer = await to_thread.run_sync(_taken, hosts, host, await request.body(), limiter=threads)
        return Response(answer, media_type="application/json")

    router.add_route("/agent/v1/hosts/{host}/report", report, methods=["POST"])
    return router


def _taken(hosts: HostRegistry, host: str, body: bytes) -> bytes:
    try:
        report = from_json(HostReport, body)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None
    if report.host != host:
        raise BadRequest(
            f"The report is of host {report.host!r} but was sent as {host!r}; send it as its own."
        )
    hosts.record_host(report)
    return to_json(hosts.duties(host))


def _check_peer(host: str, peer: str | None, trust_local: bool) -> None:
    if peer is None and not trust_local:
        raise Forbidden(
            f"A report of host {host!r} needs that host's certificate; connect with TLS and present it."
        )
    if peer is not None and peer != host:
        raise Forbidden(f"The certificate of {peer!r} can't speak for host {host!r}.")
