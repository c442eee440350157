"""REST under /kedge/v1: hosts, servers, plans and migrations."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response

from kedge.model.network import Binding, Port
from kedge.model.obstacle import Obstacle
from kedge.model.server import UNKNOWN_REFUSED, Migration, MigrationChange, MigrationOptions, Plan, Server
from kedge.serving.strict_request import StrictRoute
from kedge.wire.encoding import to_json

from ..migrations.changes import change
from ..migrations.conductor import Conductor
from ..records.waits import Waits
from ..servers import ServerRequest, Servers
from .hosts import add_host_routes


@dataclass(frozen=True)
class AdoptRequest:
    """Adopt the domain of this name or UUID on this host."""

    __pydantic_config__ = UNKNOWN_REFUSED

    host: str
    domain: str


@dataclass(frozen=True)
class Adopted:
    """A server that was adopted, with the ports that its interfaces got."""

    server: Server
    ports: tuple[Port, ...]


@dataclass(frozen=True)
class PlanRequest:
    """Think of moving to this host, with the options that a `MoveRequest` would have."""

    __pydantic_config__ = UNKNOWN_REFUSED

    host: str
    options: MigrationOptions | None = None
    policy: str | None = None


@dataclass(frozen=True)
class MoveRequest:
    """Move to the first of these hosts that can take the server; without any, to any host.

    The others are tried in turn when the migration fails. `host` is for the one who has only one in mind. Without
    options or a policy, the policy holds that the server's label `policy` names.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    host: str | None = None
    hosts: tuple[str, ...] = ()
    options: MigrationOptions | None = None
    policy: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A host that a server may move to, or what stands in the way; the best hosts come first.

    `weights` are what its place is due to, by the weighers' names; there are none for a host that was left out.
    """

    host: str
    possible: bool
    obstacles: tuple[str, ...]
    obstacle_details: tuple[Obstacle, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PortDetails(Port):
    """A port with its bindings, the ACTIVE one first."""

    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True)
class ServerDetails(Server):
    """A server with its ports."""

    ports: tuple[PortDetails, ...] = ()


@dataclass(frozen=True)
class ErrorText:
    """What is wrong, and what can be done about it; `reasons` has one line for each obstacle."""

    type: str
    message: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErrorAnswer:
    """An error under /kedge."""

    error: ErrorText


_ERRORS = {
    400: "The request is malformed, or asks for what can't be.",
    401: "The caller did not say who they are, where that is asked.",
    403: "The caller may not do that.",
    404: "There is no such thing.",
    409: "Its state, or a rival, forbids it now; or the server can't move (with the reasons).",
    413: "The body is too large.",
    429: "The caller waits for enough already.",
    502: "A host could not do what it was told.",
    503: "A host's agent, or the database, does not answer.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text} for status, text in _ERRORS.items()
}


def compute_router(conductor: Conductor, servers: Servers) -> APIRouter:
    """The routes of Kedge's own API."""
    tools = conductor.tools
    waits = Waits(tools.migrations)
    router = APIRouter(prefix="/kedge/v1", route_class=StrictRoute, responses=ERRORS)

    add_host_routes(router, tools)

    @router.get("/servers", tags=["servers"])
    def list_servers() -> list[Server]:
        """All servers."""
        return tools.servers.all()

    @router.post("/servers", tags=["servers"], status_code=201)
    def create_server(body: ServerRequest) -> Server:
        """Make a server and start it."""
        return servers.create(body)

    @router.post("/servers/adopt", tags=["servers"], status_code=201)
    def adopt_server(body: AdoptRequest) -> Adopted:
        """Take a domain that runs already, without touching it."""
        server, ports = servers.adopt(body.host, body.domain)
        return Adopted(server, tuple(ports))

    @router.get("/servers/{server}", tags=["servers"])
    def show_server(server: str) -> ServerDetails:
        """A server by id or name, with its ports and their bindings."""
        found = tools.servers.find(server)
        ports = (
            PortDetails(**vars(port), bindings=tuple(tools.network.bindings(port.id)))
            for port in tools.network.ports_of(found.id)
        )
        return ServerDetails(**vars(found), ports=tuple(ports))

    @router.delete("/servers/{server}", tags=["servers"], status_code=204)
    def delete_server(server: str) -> None:
        """Destroy a server and delete its ports."""
        servers.delete(server)

    @router.post("/servers/{server}/plan", tags=["migrations"])
    def plan(server: str, body: PlanRequest) -> Plan:
        """What a migration would do; nothing is stored or plugged."""
        found = tools.servers.find(server)
        return tools.planner.plan(found, body.host, tools.policies.of(found, body.policy, body.options))

    @router.post("/servers/{server}/migrate", tags=["migrations"], status_code=202)
    def migrate(server: str, body: MoveRequest) -> Migration:
        """Begin a migration. What is in its way is said before anything is made."""
        hosts = (*([body.host] if body.host else []), *body.hosts)
        found = tools.servers.find(server)
        return conductor.migrate(found, hosts, tools.policies.of(found, body.policy, body.options))

    @router.get("/servers/{server}/candidates", tags=["migrations"])
    def list_candidates(server: str, policy: str | None = None) -> list[Candidate]:
        """The other hosts, and whether the server could move there, with this policy or its label's."""
        found = tools.servers.find(server)
        return [
            Candidate(
                each.plan.destination,
                each.plan.possible,
                each.plan.obstacles,
                each.plan.obstacle_details,
                each.plan.notes,
                each.weights,
            )
            for each in conductor.choices(found, options=tools.policies.of(found, policy))
        ]

    @router.get("/policies", tags=["migrations"])
    def list_policies() -> dict[str, MigrationOptions]:
        """The migration policies that the configuration names."""
        return tools.policies.named

    @router.get("/migrations", tags=["migrations"])
    def list_migrations(
        request: Request,
        response: Response,
        server: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        marker: Annotated[str | None, Query(description="The id of the last one of the page before.")] = None,
    ) -> list[Migration]:
        """Migrations, the newest first; of one server if it is named. A Link header (RFC 8288) leads to older ones."""
        of_server = tools.servers.find(server).id if server else None
        found = tools.migrations.all(of_server, limit=limit + 1, marker=marker)
        if len(found) > limit:
            older = request.url.include_query_params(marker=found[limit - 1].id)
            response.headers["Link"] = f'<{older}>; rel="next"'
        return found[:limit]

    @router.get("/migrations/{migration_id}", tags=["migrations"], response_model=Migration)
    async def show_migration(
        request: Request, migration_id: str, wait_ms: Annotated[int, Query(ge=0, le=30_000)] = 0
    ) -> Response:
        """A migration. With `wait_ms`, it answers soon after something of it changes, or after that time."""
        found = (
            waits.for_news(request, migration_id, wait_ms / 1000)
            if wait_ms
            else to_thread.run_sync(tools.migrations.find, migration_id)
        )
        return Response(to_json(await found), media_type="application/json")

    @router.patch("/migrations/{migration_id}", tags=["migrations"])
    def change_migration(migration_id: str, body: MigrationChange) -> Migration:
        """Change a migration that is under way, as soon as its conductor looks at it again."""
        return change(tools, migration_id, body)

    @router.post("/migrations/{migration_id}/force-complete", tags=["migrations"], status_code=202)
    def force_complete_migration(migration_id: str) -> Migration:
        """Let the VM stand still until the rest of its memory is copied, however much that is."""
        found = tools.migrations.find(migration_id)
        return tools.migrations.change(found.id, lambda options: replace(options, complete_now=True))

    @router.delete("/migrations/{migration_id}", tags=["migrations"], status_code=202)
    def abort_migration(migration_id: str) -> Migration:
        """Ask for an abort; the migration rolls back unless the VM has left already."""
        return tools.migrations.request_abort(tools.migrations.find(migration_id).id)

    return router
