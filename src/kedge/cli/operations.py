"""`kedge drain`, `kedge restore` and `kedge operations …`."""

from typing import Annotated

import typer

from kedge.model.operation import Abort

from . import operation_progress
from .client import ControlPlane, Json, connect, segment
from .operation_begin import LIMITS, answer, begins, limits_said, names_said
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

app = typer.Typer(invoke_without_command=True)


@begins
def drain(host: HostName, *, to: ToHosts = "") -> Json:
    """Empty a host: let it take no server any more, and live-migrate away what is there. Ctrl-C leaves it running."""
    return {"kind": "drain", "host": host, "to": names_said(to)}


@begins
def restore(host: HostName) -> Json:
    """Let a host receive servers again, and bring back those that its last drain took away."""
    return {"kind": "restore", "host": host}


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
        moving = states.count("moving") + states.count("rewiring")
        counts = (states.count("arrived"), moving, states.count("waiting"), states.count("stuck"))
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
@begins
def move(
    servers: Annotated[list[str], typer.Argument(metavar="SERVER…", help="Names or ids of servers.")],
    *,
    to: ToHosts = "",
) -> Json:
    """Move these servers away from where they are, or to one of the hosts after --to. Ctrl-C leaves it running."""
    return {"kind": "servers", "servers": servers, "to": names_said(to)}


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
    answer(found, "begins no migration until `kedge operations resume {}`.", as_json)


@app.command("resume")
def resume(context: typer.Context, operation: OperationId, as_json: AsJson = False) -> None:
    """Begin migrations of it again."""
    answer(_ask(context, operation, "resume"), f"goes on. {KEEP_ON}", as_json)


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
    answer(found, f"ends once none of its migrations is under way. {KEEP_ON}", as_json)


@app.command("limits")
def change_limits(
    context: typer.Context,
    operation: OperationId,
    limits: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE…", help=f"Of {LIMITS}.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change limits of an operation, while it runs too; show them all without."""
    changed = limits_said(limits)
    with connect(context) as api:
        found = _find(api, operation)
        if changed:
            found = api.put(f"{API}/{found['id']}/limits", found["limits"] | changed)
    if as_json:
        print_json(found)
    else:
        say(", ".join(f"{name} {value}" for name, value in found["limits"].items()))


def _ask(context: typer.Context, operation: str, what: str, body: Json | None = None) -> Json:
    with connect(context) as api:
        found: Json = api.post(f"{API}/{_find(api, operation)['id']}/{what}", body)
    return found


def _find(api: ControlPlane, operation: str) -> Json:
    found: Json = api.get(f"{API}/{segment(operation)}")
    return found
