"""`kedge rewirings …`, and what `kedge server rewire` shows."""

import sys
import time
from typing import Annotated

import typer

from . import lookup
from .client import ControlPlane, Json, connect, segment
from .exits import Exit
from .lookup import KEDGE_API
from .options import AsJson, OfServer
from .render import Cell, console, facts, print_json, row, say, short, show, status, table

app = typer.Typer(no_args_is_help=True, help="Rewirings: ports that go over to another switch of their host.")

RewiringId = Annotated[str, typer.Argument(metavar="ID", help="A rewiring's id, or the beginning of it.")]
_API = f"{KEDGE_API}/rewirings"
_LOOK_S = 0.25


@app.command("list")
def list_rewirings(context: typer.Context, server: OfServer = None, as_json: AsJson = False) -> None:
    """List the rewirings, the newest first."""
    with connect(context) as api:
        found: list[Json] = api.get(_API, {"server": server} if server else None)
        names = lookup.server_names(api)
    if as_json:
        print_json(found)
        return
    made = table("Id", "Server", "Host", "To", "State", "Blackout")
    for each in found:
        name = names.get(each["server_id"], each["server_id"])
        row(
            made,
            short(each["id"]),
            name,
            each["host"],
            each["backend"],
            status(each["state"]),
            _longest(each),
        )
    show(made, none="There is no rewiring yet; `kedge server rewire` begins one.")


@app.command("show")
def show_rewiring(context: typer.Context, rewiring: RewiringId, as_json: AsJson = False) -> None:
    """Show a rewiring with its ports."""
    with connect(context) as api:
        found = _find(api, rewiring)
    if as_json:
        print_json(found)
    else:
        _describe(found)


@app.command("abort")
def abort_rewiring(context: typer.Context, rewiring: RewiringId, as_json: AsJson = False) -> None:
    """Ask for a rewiring's abort: what was moved is moved back, unless every port was moved already."""
    with connect(context) as api:
        found: Json = api.delete(f"{_API}/{_find(api, rewiring)['id']}")
    if as_json:
        print_json(found)
    else:
        say(
            f"The abort of rewiring {found['id']} is asked for; `kedge rewirings show {short(found['id'])}` shows more."
        )


def show_plan(plan: Json, *, as_json: bool) -> None:
    """Print what a rewiring would do; exits with 3 if it can't be."""
    if as_json:
        print_json(plan)
    else:
        _ports(plan["ports"], none=f"Every port is wired as {plan['backend']} has it already.")
        for obstacle in plan["obstacles"]:
            say(f"In the way: {obstacle}", "red")
        say("Nothing was stored or made.")
    if plan["obstacles"]:
        raise typer.Exit(Exit.REFUSED)


def show_begun(api: ControlPlane, rewiring: Json, *, detach: bool, as_json: bool) -> None:
    """Wait for the end of a rewiring and print it; exits with 1 if it did not complete. Ctrl-C leaves it running."""
    try:
        while rewiring["finished_at"] is None and not detach:
            time.sleep(_LOOK_S)
            rewiring = _find(api, rewiring["id"])
    except KeyboardInterrupt:
        goes_on = (
            f"Rewiring {rewiring['id']} goes on; `kedge rewirings show {short(rewiring['id'])}` shows it."
        )
        console(stderr=True).print(goes_on)
        sys.exit(Exit.INTERRUPTED)
    if as_json:
        print_json(rewiring)
    else:
        _describe(rewiring)
    if rewiring["finished_at"] is not None and rewiring["state"] != "completed":
        sys.exit(Exit.FAILED)


def _describe(rewiring: Json) -> None:
    values: dict[str, Cell] = {
        "id": rewiring["id"],
        "server": rewiring["server_id"],
        "host": rewiring["host"],
        "to backend": rewiring["backend"],
        "state": status(rewiring["state"]),
        "error": rewiring["error"],
        "blackout": _longest(rewiring),
    }
    facts({name: value for name, value in values.items() if value is not None})
    say()
    _ports(rewiring["ports"], none="It has no ports.")


def _ports(ports: list[Json], *, none: str) -> None:
    made = table("Port", "MAC", "From", "To", "Blackout")
    for port in ports:
        wirings = (_wiring(port["before"]), _wiring(port["after"]))
        row(made, short(port["port_id"]), port["mac_address"], *wirings, _ms(port["blackout_ms"]))
    show(made, none=none)


def _wiring(wiring: Json) -> str:
    details = wiring["vif_details"]
    kind = "hybrid " if details.get("ovs_hybrid_plug") else ""
    return f"{wiring['vif_type']} {kind}{details.get('bridge_name', '')}".strip()


def _longest(rewiring: Json) -> str | None:
    measured = [port["blackout_ms"] for port in rewiring["ports"] if port["blackout_ms"] is not None]
    return _ms(max(measured)) if measured else None


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} ms"


def _find(api: ControlPlane, rewiring: str) -> Json:
    found: Json = api.get(f"{_API}/{segment(rewiring)}")
    return found
