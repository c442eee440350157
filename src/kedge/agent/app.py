"""The agent's HTTP API, as `kedge.wire.messages` documents it.

Each call is handled in a thread: libvirt's and netlink's calls block. The routes are plain ones, whose bodies pydantic
reads: a migration makes twenty calls, and FastAPI's own part of each was three quarters of its CPU.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kedge.agent.agent import Agent
from kedge.model.domain import TransferOrder
from kedge.model.errors import BadRequest, Forbidden, HostFailure, KedgeError
from kedge.model.host_facts import FactsRequest
from kedge.trust.certificates import Role
from kedge.wire.encoding import error_body, from_json, to_json
from kedge.wire.messages import (
    AnnounceOrder,
    DiscardOrder,
    ObserveRequest,
    PlugOrder,
    ResumeOrder,
    RewireOrder,
    SidesRequest,
    TransferTuning,
    UnplugOrder,
)
from kedge.wire.plans import DepartureRequest
from kedge.wire.version import SameWire

T = TypeVar("T")

# Each waiting observe holds a thread; a conductor has two or three per migration.
_THREADS = 256


def create_app(agent: Agent) -> Starlette:
    """The application over an agent's parts."""
    calls = Calls()
    _domains(calls, agent)
    _transfers(calls, agent)
    _vifs(calls, agent)
    return Starlette(
        routes=calls.routes,
        middleware=[
            Middleware(OnlyControl),
            Middleware(SameWire, own="this agent", other="the control plane", error=HostFailure),
        ],
        exception_handlers={KedgeError: _failed, Exception: _broken},
    )


class Calls:
    """The calls that there are, each with its method and path.

    A handler gets the parameters of the path, then the body as the type that it takes, if it takes one, and last what
    it wants of the query. What it returns is answered as JSON, and None as nothing.
    """

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self._threads = CapacityLimiter(_THREADS)

    def add(
        self,
        call: str,
        handle: Callable[..., object],
        *,
        body: Any = None,
        query: Callable[[Request], Sequence[object]] = lambda _: (),
    ) -> None:
        """Add a call such as `GET /v1/host`."""
        method, path = call.split()

        def work(content: bytes, path: Sequence[object], asked: Sequence[object]) -> bytes | None:
            answer = handle(*path, *(() if body is None else (_read(body, content),)), *asked)
            return None if answer is None else to_json(answer)

        async def endpoint(request: Request) -> Response:
            content, path, asked = await request.body(), tuple(request.path_params.values()), query(request)
            answer = await to_thread.run_sync(work, content, path, asked, limiter=self._threads)
            if answer is None:
                return Response(status_code=204)
            return Response(answer, media_type="application/json")

        self.routes.append(Route(path, endpoint, methods=[method]))


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


def _domains(calls: Calls, agent: Agent) -> None:
    def create(uuid: str, body: dict[str, str]) -> None:
        if "xml" not in body:
            raise BadRequest('the body must be {"xml": "<domain>…"}')
        agent.create(uuid, body["xml"])

    def discard(uuid: str, body: DiscardOrder) -> None:
        agent.epochs.admit(f"server {uuid}", body.epoch)
        agent.hypervisor.discard(uuid, body)

    def resume(uuid: str, body: ResumeOrder) -> None:
        agent.epochs.admit(f"server {uuid}", body.epoch)
        agent.hypervisor.resume(uuid)

    def xml(uuid: str, migratable: bool) -> dict[str, str]:
        return {"xml": agent.hypervisor.xml(uuid, migratable=migratable)}

    calls.add("GET /v1/host", agent.reports.build)
    calls.add("POST /v1/facts", agent.facts.look, body=FactsRequest)
    calls.add("GET /v1/domains", agent.hypervisor.summaries)
    calls.add("GET /v1/network", agent.vifs.network)
    calls.add(
        "GET /v1/domains/{uuid}/xml",
        xml,
        query=lambda asked: (_number(asked, "migratable") == 1,),
    )
    calls.add("PUT /v1/domains/{uuid}", create, body=dict[str, str])
    calls.add("DELETE /v1/domains/{uuid}", agent.hypervisor.delete)
    calls.add("POST /v1/domains/{uuid}/discard", discard, body=DiscardOrder)
    calls.add("POST /v1/domains/{uuid}/resume", resume, body=ResumeOrder)
    calls.add(
        "POST /v1/domains/{uuid}/observe",
        agent.observer.observe,
        body=ObserveRequest,
    )
    calls.add(
        "POST /v1/domains/{uuid}/departure",
        agent.plans.departure,
        body=DepartureRequest,
    )
    calls.add(
        "POST /v1/domains/{uuid}/arrival",
        agent.plans.arrival,
        body=FactsRequest,
    )


def _transfers(calls: Calls, agent: Agent) -> None:
    def start(migration_id: str, body: TransferOrder) -> None:
        if body.migration_id != migration_id:
            raise BadRequest(
                f"the order is for migration {body.migration_id}, the address for {migration_id}"
            )
        agent.transfers.start(body)

    calls.add("PUT /v1/transfers/{migration_id}", start, body=TransferOrder)
    calls.add("PATCH /v1/transfers/{migration_id}", agent.transfers.tune, body=TransferTuning)
    calls.add(
        "DELETE /v1/transfers/{migration_id}",
        agent.transfers.abort,
        query=lambda asked: (_number(asked, "epoch"), asked.query_params.get("server")),
    )


def _vifs(calls: Calls, agent: Agent) -> None:
    calls.add("GET /v1/vifs", agent.vifs.plugged)
    calls.add("POST /v1/vifs/plug", agent.vifs.plug, body=PlugOrder)
    calls.add("POST /v1/vifs/unplug", agent.unplug, body=UnplugOrder)
    calls.add("POST /v1/vifs/sides", lambda body: agent.vifs.sides(body.ports), body=SidesRequest)
    calls.add("POST /v1/vifs/rewire", agent.rewire, body=RewireOrder)
    calls.add("POST /v1/vifs/announce", agent.announce, body=AnnounceOrder)


def _read(kind: type[T], content: bytes) -> T:
    """The body as this type. Raises BadRequest."""
    try:
        return from_json(kind, content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in ('body', *problem['loc']))}: {problem['msg']}"
            for problem in error.errors()
        )
        raise BadRequest(f"the request can't be read: {problems}") from None


def _number(request: Request, name: str) -> int:
    """A number of the query, 0 without it. Raises BadRequest."""
    said = request.query_params.get(name, "0")
    try:
        return int(said)
    except ValueError:
        raise BadRequest(f"the request can't be read: query.{name}: {said!r} is no number") from None


def _answer(error: KedgeError) -> JSONResponse:
    return JSONResponse(error_body(error), status_code=error.status)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, KedgeError)
    return _answer(error)


async def _broken(request: Request, error: Exception) -> Response:
    # The server logs the traceback; the caller learns that it is this host's fault and not its own.
    return _answer(
        HostFailure(
            f"the agent failed at {request.method} {request.url.path}: {type(error).__name__}: {error}"
        )
    )
