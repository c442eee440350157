"""`kedge migrations …`."""

from typing import Annotated

import typer

from kedge.model.errors import BadRequest

from . import lookup, progress, summary
from .client import ControlPlane, Json, connect, segment
from .lookup import KEDGE_API
from .options import AsJson, MigrationId, OfServer
from .render import ms, print_json, row, say, short, show, status, table

LIMIT_MAX = 1000

app = typer.Typer(no_args_is_help=True, help="Migrations, those under way and those that have ended.")


@app.command("list")
def list_migrations(
    context: typer.Context,
    server: OfServer = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Show so many at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the migrations, the newest first."""
    wanted: dict[str, str | int] = {"limit": limit} | ({"server": server} if server is not None else {})
    with connect(context) as api:
        found: list[Json] = api.get(f"{KEDGE_API}/migrations", wanted)
        if as_json:
            print_json(found)
            return
        names = lookup.server_names(api)
    made = table(
        "Id", "Server", "From", "To", "Status", "Begun", "Total", "Guest downtime", "Blackout at most"
    )
    for migration in found:
        ended = migration["finished_at"] is not None
        row(
            made,
            short(migration["id"]),
            names.get(migration["server_id"], migration["server_id"]),
            migration["source"],
            migration["destination"],
            status(migration["status"]),
            summary.begun(migration),
            ms(migration["total_ms"]) if ended else None,
            ms(migration["guest_downtime_ms"]) if ended else None,
            ms(migration["network_blackout_ms"]) if ended else None,
        )
    show(made, none="There is no migration yet.")
    if len(found) == limit < LIMIT_MAX:
        say(f"There may be older ones: --limit {min(LIMIT_MAX, 10 * limit)} shows more.")


@app.command("show")
def show_migration(
    context: typer.Context,
    migration: MigrationId,
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay until it has ended. Ctrl-C leaves it running.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a migration with its timeline. With --follow, it exits with 1 if the migration did not complete."""
    with connect(context) as api:
        found = _find(api, migration)
        name = lookup.server_names(api).get(found["server_id"]) or str(found["server_id"])
        if follow:
            progress.follow_to_end(api, found, name, as_json, abort_on_interrupt=False)
        elif as_json:
            print_json(found)
        else:
            summary.describe(api, found, name)


@app.command("abort")
def abort_migration(context: typer.Context, migration: MigrationId, as_json: AsJson = False) -> None:
    """Ask for a migration's abort: it rolls back, unless the VM has left its source already."""
    with connect(context) as api:
        found: Json = api.delete(f"{KEDGE_API}/migrations/{_find(api, migration)['id']}")
    if as_json:
        print_json(found)
        return
    say(
        f"The abort of migration {found['id']} is asked for;"
        f" `kedge migrations show {short(found['id'])} --follow` shows what becomes of it."
    )


@app.command("set")
def set_migration(
    context: typer.Context,
    migration: MigrationId,
    *,
    bandwidth: Annotated[
        int | None,
        typer.Option(metavar="MIB", min=0, help="Limit of the transfer rate in MiB/s; 0 for none."),
    ] = None,
    downtime_limit: Annotated[
        int | None, typer.Option(metavar="MS", min=1, help="The pause that QEMU may plan for.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="This policy holds from now on; see `kedge policies`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a migration that is under way."""
    changed = {"bandwidth_mib": bandwidth, "downtime_limit_ms": downtime_limit, "policy": policy}
    wanted = {name: value for name, value in changed.items() if value is not None}
    if not wanted:
        raise BadRequest("Say what is to be changed: --bandwidth, --downtime-limit or --policy.")
    with connect(context) as api:
        found: Json = api.patch(f"{KEDGE_API}/migrations/{_find(api, migration)['id']}", wanted)
    if as_json:
        print_json(found)
    else:
        say(f"Migration {found['id']}: {', '.join(f'{name} {value}' for name, value in wanted.items())}.")


@app.command("force-complete")
def force_complete(context: typer.Context, migration: MigrationId, as_json: AsJson = False) -> None:
    """Let the VM stand still until the rest of its memory is copied, however long that takes."""
    with connect(context) as api:
        found: Json = api.post(f"{KEDGE_API}/migrations/{_find(api, migration)['id']}/force-complete", None)
    if as_json:
        print_json(found)
    else:
        say(
            f"The VM of migration {found['id']} will stand still until the rest is copied;"
            f" `kedge migrations show {short(found['id'])} --follow` shows how far it is."
        )


def _find(api: ControlPlane, migration: str) -> Json:
    found: Json = api.get(f"{KEDGE_API}/migrations/{segment(migration)}")
    return found
