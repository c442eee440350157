"""The agent's HTTP API, as `kedge.wire.messages` documents it.

Endpoints are plain functions, so FastAPI runs each in a thread: libvirt's and netlink's calls block.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from kedge.agent.agent import Agent
from kedge.model.domain import DomainSummary, HostView, TransferOrder, VifReport
from kedge.model.errors import BadRequest, Forbidden, HostFailure, KedgeError
from kedge.model.host_facts import FactsRequest, HostFacts
from kedge.model.host_network import HostNetwork
from kedge.trust.certificates import Role
from kedge.wire.encoding import error_body
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
from kedge.wire.version import SameWire

# Each waiting observe holds a thread; a conductor has two or three per migration.
_THREADS = 256

NOTHING: dict[str, Any] = {"status_code": 204, "response_class": Response}


def create_app(agent: Agent) -> FastAPI:
    """The application over an agent's parts."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        yield

    app = FastAPI(title="Kedge agent", lifespan=lifespan)
    # What is added last is asked first.
    app.add_middleware(SameWire, own="this agent", other="the control plane", error=HostFailure)
    app.add_middleware(OnlyControl)
    app.add_exception_handler(KedgeError, _failed)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(Exception, _broken)
    _domains(app, agent)
    _transfers(app, agent)
    _vifs(app, agent)
    return app


class OnlyControl:
    """Lets in only the holder of a control plane's certificate."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] == "http" and scope.get("kedge.peer", {}).get("role") != Role.CONTROL:
            await _answer(Forbidden("an agent obeys only the control plane's certificate"))(
                scope, receive, send
            )
            return
        await self._app(scope, receive, send)


def _domains(app: FastAPI, agent: Agent) -> None:
    @app.get("/v1/host")
    def host() -> HostReport:
        return agent.reports.build()

    @app.post("/v1/facts")
    def facts(request: FactsRequest) -> HostFacts:
        return agent.facts.look(request)

    @app.get("/v1/domains")
    def domains() -> list[DomainSummary]:
        return agent.hypervisor.summaries()

    @app.get("/v1/network")
    def network() -> HostNetwork:
        return agent.vifs.network()

    @app.get("/v1/domains/{uuid}/xml")
    def xml(uuid: str, migratable: bool = False) -> dict[str, str]:
        return {"xml": agent.hypervisor.xml(uuid, migratable=migratable)}

    @app.put("/v1/domains/{uuid}", **NOTHING)
    def create(uuid: str, body: dict[str, str]) -> None:
        if "xml" not in body:
            raise BadRequest('the body must be {"xml": "<domain>…"}')
        agent.create(uuid, body["xml"])

    @app.delete("/v1/domains/{uuid}", **NOTHING)
    def delete(uuid: str) -> None:
        agent.hypervisor.delete(uuid)

    @app.post("/v1/domains/{uuid}/discard", **NOTHING)
    def discard(uuid: str, order: DiscardOrder) -> None:
        agent.epochs.admit(f"server {uuid}", order.epoch)
        agent.hypervisor.discard(uuid, order)

    @app.post("/v1/domains/{uuid}/resume", **NOTHING)
    def resume(uuid: str, order: ResumeOrder) -> None:
        agent.epochs.admit(f"server {uuid}", order.epoch)
        agent.hypervisor.resume(uuid)

    @app.post("/v1/domains/{uuid}/observe")
    def observe(uuid: str, request: ObserveRequest) -> HostView:
        return agent.observer.observe(uuid, request)


def _transfers(app: FastAPI, agent: Agent) -> None:
    @app.put("/v1/transfers/{migration_id}", **NOTHING)
    def start(migration_id: str, order: TransferOrder) -> None:
        if order.migration_id != migration_id:
            raise BadRequest(
                f"the order is for migration {order.migration_id}, the address for {migration_id}"
            )
        agent.transfers.start(order)

    @app.patch("/v1/transfers/{migration_id}", **NOTHING)
    def tune(migration_id: str, tuning: TransferTuning) -> None:
        agent.transfers.tune(migration_id, tuning)

    @app.delete("/v1/transfers/{migration_id}", **NOTHING)
    def abort(migration_id: str, epoch: int = 0, server: str | None = None) -> None:
        agent.transfers.abort(migration_id, epoch, server)


def _vifs(app: FastAPI, agent: Agent) -> None:
    @app.get("/v1/vifs")
    def vifs() -> list[VifReport]:
        return agent.vifs.plugged()

    @app.post("/v1/vifs/plug")
    def plug(order: PlugOrder) -> VifResults:
        return agent.vifs.plug(order)

    @app.post("/v1/vifs/unplug")
    def unplug(order: UnplugOrder) -> VifResults:
        return agent.unplug(order)

    @app.post("/v1/vifs/sides")
    def sides(request: SidesRequest) -> dict[str, Side]:
        return agent.vifs.sides(request.ports)

    @app.post("/v1/vifs/rewire")
    def rewire(order: RewireOrder) -> RewireResults:
        return agent.rewire(order)

    @app.post("/v1/vifs/{port_id}/announce", **NOTHING)
    def announce(port_id: str, order: AnnounceOrder) -> None:
        if order.vif.port_id != port_id:
            raise BadRequest(f"the order is for port {order.vif.port_id}, the address for {port_id}")
        agent.announce(order)


def _answer(error: KedgeError) -> JSONResponse:
    return JSONResponse(error_body(error), status_code=error.status)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, KedgeError)
    return _answer(error)


async def _malformed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
    )
    return _answer(BadRequest(f"the request can't be read: {problems}"))


async def _broken(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the caller learns that it is this host's fault and not its own.
    return _answer(
        HostFailure(
            f"the agent failed at {request.method} {request.url.path}: {type(error).__name__}: {error}"
        )
    )
