"""/servers/{server}/action: what is done with a server, which is a live migration and so far nothing else."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import Row

from kedge.model.caller import CALLER, Role, refusal
from kedge.model.errors import BadRequest, CannotMigrate, Conflict, Forbidden, KedgeError, NotFound
from kedge.store import statements
from kedge.store.tables import ServerStatus

from ..migrations.conductor import Conductor
from . import server_query, states
from .caller import is_admin
from .microversions import V21, Version

AUTO = "auto"
_LIVE = "os-migrateLive"
_NOVAS = frozenset(
    {
        "addFixedIp", "addFloatingIp", "addSecurityGroup", "addTenantAccess", "changePassword", "confirmResize",
        "createBackup", "createImage", "evacuate", "forceDelete", "injectNetworkInfo", "lock", "migrate",
        "os-getConsoleOutput", "os-getRDPConsole", "os-getSPICEConsole", "os-getSerialConsole", "os-getVNCConsole",
        "os-resetState", "os-start", "os-stop", "pause", "reboot", "rebuild", "removeFixedIp", "removeFloatingIp",
        "removeSecurityGroup", "rescue", "resetNetwork", "resize", "restore", "resume", "revertResize", "shelve",
        "shelveOffload", "suspend", "trigger_crash_dump", "unlock", "unpause", "unrescue", "unshelve",
    }
)  # fmt: skip
"""Actions that Nova has and Kedge has not."""


class NotHere(KedgeError):
    """Nova has it, and Kedge has not."""

    status = 501


def _auto_or_bool(value: Any) -> Any:
    if value == AUTO or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise PydanticCustomError("auto_or_bool", "it must be true, false or 'auto'")


class _Live(BaseModel):
    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None


class _Live21(_Live):
    block_migration: bool
    disk_over_commit: bool


class _Live25(_Live):
    block_migration: Annotated[bool | str, BeforeValidator(_auto_or_bool)]


class _Live30(_Live25):
    force: bool = False


_BODIES: Sequence[tuple[int, type[_Live]]] = ((68, _Live25), (30, _Live30), (25, _Live25), (1, _Live21))
"""What a live migration is asked for with, from which microversion on; the newest first."""


def add_action_routes(router: APIRouter, conductor: Conductor) -> None:
    """Add the route of actions."""

    @router.post(f"{V21}/servers/{{server}}/action", tags=["compute"], status_code=202)
    def act(server: str, body: dict[str, Any], version: Version) -> Response:
        """Do something with a server: `{"os-migrateLive": {"host": "h2", "block_migration": "auto"}}`."""
        with statements(conductor.tools.migrations.engine, read_only=True) as connection:
            row = server_query.one(connection, server)
        if len(body) != 1:
            raise BadRequest(f"The body has {len(body)} actions; name one.")
        ((name, arguments),) = body.items()
        if name in _NOVAS:
            raise NotHere(
                f"This is Kedge, which has no action {name}: it moves servers. Use virsh on their host."
            )
        if name != _LIVE:
            raise BadRequest(f"There is no such action: {name[:64]}")
        _migrate(conductor, row, _live(arguments, version))
        return Response(status_code=202)


def _live(arguments: Any, version: int) -> _Live:
    model = next(model for first, model in _BODIES if first <= version)
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        found = [{**each, "loc": ("body", _LIVE, *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None


def _migrate(conductor: Conductor, row: Row[Any], wanted: _Live) -> None:
    """Begin a live migration. Raises BadRequest with everything that is in its way, Conflict in a wrong state."""
    caller = CALLER.get()
    if caller is not None and not is_admin():
        raise Forbidden(refusal("rule:os_compute_api:os-migrate-server:migrate_live", [Role.ADMIN], caller))
    _refuse_what_is_not_here(wanted)
    state = states.SERVERS[row.status]
    if row.status not in (ServerStatus.ACTIVE, ServerStatus.PAUSED):
        of = f"task_state {state.task}" if state.task else f"vm_state {state.vm}"
        raise Conflict(f"Cannot '{_LIVE}' instance {row.id} while it is in {of}")
    tools = conductor.tools
    server = tools.servers.find(row.id)
    if wanted.host is not None:
        _refuse_unknown_host(conductor, wanted.host)
    try:
        conductor.migrate(server, [wanted.host] if wanted.host else [], tools.policies.of(server))
    except CannotMigrate as error:
        raise BadRequest(str(error)) from error


def _refuse_what_is_not_here(wanted: _Live) -> None:
    if getattr(wanted, "block_migration", False) is True:
        raise BadRequest(
            "Kedge moves servers whose disks are on storage that both hosts share, and copies no disks;"
            " give block_migration as false, or from microversion 2.25 on as 'auto'."
        )
    if getattr(wanted, "force", False) and wanted.host is None:
        raise BadRequest("Can't force to a non-provided destination")


def _refuse_unknown_host(conductor: Conductor, host: str) -> None:
    try:
        conductor.tools.agents.host(host)
    except NotFound as error:
        raise BadRequest(f"Compute host {host} could not be found. {error}") from error
