"""`kedge drain`, `kedge restore` and `kedge operations …`."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated

import typer

from kedge.model.errors import BadRequest
from kedge.model.operation import Abort, OperationLimits

from . import lookup, operation_progress
from .client import START_S, ControlPlane, Json, connect, segment
from .exits import Exit
from .operation_progress import API, KEEP_ON
from .options import AsJson, HostName
from .render import print_json, row, say, short, show, status, table

OperationId = Annotated[str, typer.Argument(metavar="ID", help="An operation's id, or the beginning of it.")]
ToHosts = Annotated[
    str,
    typer.Option(
        "--to", metavar="HOST,…", help="Where servers may go; to any host that can take them without."
    ),
]
LIMITS = ", ".join(each.name for each in fields(OperationLimits))
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help=f"A limit of it, again for another one: {LIMITS}."),
]
Simulate = Annotated[
    bool,
    typer.Option("--simulate", help="Only say who would go where, and when. Nothing is stored or moved."),
]
Detach = Annotated[bool, typer.Option("--detach", help="Only begin it.")]

app = typer.Typer(invoke_without_command=True)


def drain(
    context: typer.Context,
    host: HostName,
    *,
    to: ToHosts = "",
    limit: Limits = None,
    simulate: Simulate = False,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Empty a host: let it take no server any more, and live-migrate away what is there. Ctrl-C leaves it running."""
    wanted = {"kind": "drain", "host": host, "to": _names(to), "limits": _limits(limit)}
    _begin(context, wanted, simulate=simulate, detach=detach, as_json=as_json)


def restore(
    context: typer.Context,
    host: HostName,
    *,
    limit: Limits = None,
    simulate: Simulate = False,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Let a host receive servers again, and bring back those that its last drain took away."""
    wanted = {"kind": "restore", "host": host, "limits": _limits(limit)}
    _begin(context, wanted, simulate=simulate, detach=detach, as_json=as_json)


@app.callback()
def operations(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show so many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the operations, the newest first; or show, follow, pause, resume, abort or limit one."""
    if context.invoked_subcommand is not None:
        return
    with connect(context) as api:
        found: list[Json] = api.get(API, {"limit": limit})
    if as_json:
        print_json(found)
        return
    made = table("Id", "Operation", "State", "Servers", "Arrived", "Moving", "Waiting", "Stuck")
    for each in found:
        states = [item["state"] for item in each["items"]]
        counts = (states.count(state) for state in ("arrived", "moving", "waiting", "stuck"))
        row(
            made,
            short(each["id"]),
            operation_progress.title(each),
            status(each["state"]),
            len(states),
            *counts,
        )
    show(made, none="There is no operation yet; `kedge drain HOST` begins one.")


@app.command("move")
def move(
    context: typer.Context,
    servers: Annotated[list[str], typer.Argument(metavar="SERVER…", help="Names or ids of servers.")],
    *,
    to: ToHosts = "",
    limit: Limits = None,
    simulate: Simulate = False,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Move these servers away from where they are, or to one of the hosts after --to. Ctrl-C leaves it running."""
    wanted = {"kind": "servers", "servers": servers, "to": _names(to), "limits": _limits(limit)}
    _begin(context, wanted, simulate=simulate, detach=detach, as_json=as_json)


@app.command("show")
def show_operation(context: typer.Context, operation: OperationId, as_json: AsJson = False) -> None:
    """Show an operation, and how each of its servers stands."""
    with connect(context) as api:
        found = _find(api, operation)
    if as_json:
        print_json(found)
    else:
        operation_progress.describe(found)


@app.command("watch")
def watch(context: typer.Context, operation: OperationId, as_json: AsJson = False) -> None:
    """Follow an operation until it has ended; exits with 1 if it did not complete. Ctrl-C leaves it running."""
    with connect(context) as api:
        operation_progress.follow(api, _find(api, operation), as_json=as_json)


@app.command("pause")
def pause(context: typer.Context, operation: OperationId, as_json: AsJson = False) -> None:
    """Begin no migration of it for now. What is under way goes on."""
    found = _ask(context, operation, "pause")
    _answer(found, "begins no migration until `kedge operations resume {}`.", as_json)


@app.command("resume")
def resume(context: typer.Context, operation: OperationId, as_json: AsJson = False) -> None:
    """Begin migrations of it again."""
    _answer(_ask(context, operation, "resume"), f"goes on. {KEEP_ON}", as_json)


@app.command("abort")
def abort(
    context: typer.Context,
    operation: OperationId,
    *,
    running: Annotated[
        Abort, typer.Option(help="What becomes of the migrations that are under way.")
    ] = Abort.FINISH_RUNNING,
    as_json: AsJson = False,
) -> None:
    """Begin no migration of it any more. A host that it disabled stays so."""
    found = _ask(context, operation, "abort", {"running": running})
    _answer(found, f"ends once none of its migrations is under way. {KEEP_ON}", as_json)


@app.command("limits")
def change_limits(
    context: typer.Context,
    operation: OperationId,
    limits: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE…", help=f"Of {LIMITS}.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change limits of an operation, while it runs too; show them all without."""
    changed = _limits(limits)
    with connect(context) as api:
        found = _find(api, operation)
        if changed:
            found = api.put(f"{API}/{found['id']}/limits", found["limits"] | changed)
    if as_json:
        print_json(found)
    else:
        say(", ".join(f"{name} {value}" for name, value in found["limits"].items()))


def _begin(context: typer.Context, wanted: Json, *, simulate: bool, detach: bool, as_json: bool) -> None:
    with connect(context) as api:
        if simulate:
            _simulate(api, wanted, as_json)
            return
        begun: Json = api.post(API, wanted, wait_s=START_S)
        if not detach:
            operation_progress.follow(api, begun, as_json=as_json)
        else:
            _answer(begun, f"has begun. {KEEP_ON}", as_json)


def _simulate(api: ControlPlane, wanted: Json, as_json: bool) -> None:
    found: Json = api.post(f"{API}/simulate", {"operation": wanted}, wait_s=START_S)
    if as_json:
        print_json(found)
    else:
        _show_prediction(found, lookup.server_names(api))
    if found["unmoved"]:
        raise typer.Exit(Exit.REFUSED)


def _show_prediction(found: Json, names: Mapping[str, str]) -> None:
    made = table("Server", "From", "To", "Begins", "Ends", "Stands still", "Fails")
    for leg in found["legs"]:
        still = None if leg["downtime_ms"] is None else f"{leg['downtime_ms']:.0f} ms"
        name = names.get(leg["server_id"], leg["server_id"])
        begins, ends = f"{leg['start_s']:.1f} s", f"{leg['end_s']:.1f} s"
        row(made, name, leg["source"], leg["destination"], begins, ends, still, leg["failed"])
    show(made, none="Nothing would be moved.")
    for server_id, reasons in found["unmoved"].items():
        say(f"{names.get(server_id, server_id)} would not be moved: {'; '.join(reasons)}", "red")
    say(f"It would take {found['total_s']:.0f} s. Nothing was stored or moved.")


def _ask(context: typer.Context, operation: str, what: str, body: Json | None = None) -> Json:
    with connect(context) as api:
        found: Json = api.post(f"{API}/{_find(api, operation)['id']}/{what}", body)
    return found


def _answer(found: Json, said: str, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        say(f"Operation {found['id']} {said.format(short(found['id']))}")


def _find(api: ControlPlane, operation: str) -> Json:
    found: Json = api.get(f"{API}/{segment(operation)}")
    return found


def _names(text: str) -> Sequence[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _limits(said: Sequence[str] | None) -> Json:
    """`NAME=VALUE`, as the API takes them; it says what is wrong with a name or a value. Raises BadRequest."""
    limits: Json = {}
    for each in said or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise BadRequest(f"{each!r} is no limit; write NAME=VALUE, with one of {LIMITS}.")
        limits[name] = int(value) if value.lstrip("-").isdecimal() else value
    return limits
