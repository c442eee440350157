"""`kedge hosts …`."""

from typing import Annotated

import typer
from rich.text import Text

from .client import Json, connect, segment
from .lookup import KEDGE_API
from .options import AsJson, HostName
from .render import listed, print_json, row, say, show, table

app = typer.Typer(invoke_without_command=True)


@app.callback()
def hosts(context: typer.Context, as_json: AsJson = False) -> None:
    """List the hosts and their network backends; or say that one is off, or back."""
    if context.invoked_subcommand is not None:
        return
    with connect(context) as api:
        found: list[Json] = api.get(f"{KEDGE_API}/hosts")
    if as_json:
        print_json(found)
        return
    made = table("Host", "Agent", "Backends", "Agent's URL", "Migrations go to")
    for host in found:
        backends = "\n".join(_backend(each) for each in host["backends"]) or None
        row(made, host["name"], _life(host), backends, host["url"] or None, host["migrate_uri"] or None)
    show(made, none="No agent has reported yet; start one with `kedge agent` on each host.")


@app.command("down")
def force_down(
    context: typer.Context,
    host: HostName,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that a host is off and will not come back soon, so that nothing waits for it any more.

    Migrations that only it could end are ended: on the other host if the VM is there, else as lost. Nothing is done to
    the host itself. A VM that still ran there would be taken for lost, so make sure that it is off.
    """
    if not yes:
        typer.confirm(
            f"Is {host} powered off? A VM that still runs there will be taken for lost.", abort=True
        )
    found = _say(context, host, forced_down=True)
    if as_json:
        print_json(found)
    else:
        say(f"{host} counts as off; nothing waits for it. Once it is back: `kedge hosts up {host}`.")


@app.command("up")
def take_back(context: typer.Context, host: HostName, as_json: AsJson = False) -> None:
    """Say that a host which was forced down is back; its agent cleans what it finds there."""
    found = _say(context, host, forced_down=False)
    if as_json:
        print_json(found)
    else:
        say(f"{host} is as alive as its agent: {_life(found)}. `kedge doctor` says what it brought back.")


def _say(context: typer.Context, host: str, *, forced_down: bool) -> Json:
    with connect(context) as api:
        found: Json = api.put(f"{KEDGE_API}/hosts/{segment(host)}/forced-down", {"forced_down": forced_down})
        return found


def _life(host: Json) -> Text:
    if host["forced_down"]:
        return Text("forced down", "red")
    return Text("alive", "green") if host["alive"] else Text("dead", "red")


def _backend(backend: Json) -> str:
    mappings = listed(f"{network}:{device}" for network, device in backend["mappings"].items())
    kind = " (hybrid plug)" if backend["hybrid_plug"] else ""
    return f"{backend['driver']}{kind} {mappings}"
