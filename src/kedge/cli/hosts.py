"""`kedge hosts`."""

import typer
from rich.text import Text

from .client import Json, connect
from .lookup import KEDGE_API
from .options import AsJson
from .render import listed, print_json, row, show, table


def hosts(context: typer.Context, as_json: AsJson = False) -> None:
    """List the hosts and their network backends."""
    with connect(context) as api:
        found: list[Json] = api.get(f"{KEDGE_API}/hosts")
    if as_json:
        print_json(found)
        return
    made = table("Host", "Agent", "Backends", "Agent's URL", "Migrations go to")
    for host in found:
        alive = Text("alive", "green") if host["alive"] else Text("dead", "red")
        backends = "\n".join(_backend(each) for each in host["backends"]) or None
        row(made, host["name"], alive, backends, host["url"] or None, host["migrate_uri"] or None)
    show(made, none="No agent has reported yet; start one with `kedge agent` on each host.")


def _backend(backend: Json) -> str:
    mappings = listed(f"{network}:{device}" for network, device in backend["mappings"].items())
    kind = " (hybrid plug)" if backend["hybrid_plug"] else ""
    return f"{backend['driver']}{kind} {mappings}"
