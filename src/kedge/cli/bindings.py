"""`kedge bindings …`."""

import typer

from . import lookup
from .client import ControlPlane, Json, connect, segment
from .lookup import NETWORK_API
from .options import AsJson, HostName, PortName
from .render import binding as in_words
from .render import facts, print_json, row, say, show, status, table

app = typer.Typer(no_args_is_help=True, help="Bindings: how ports are attached on their hosts.")


@app.command("list")
def list_bindings(context: typer.Context, port: PortName, as_json: AsJson = False) -> None:
    """List a port's bindings."""
    with connect(context) as api:
        found: list[Json] = [each for each in api.get(_path(api, port))["bindings"] if each["host"]]
    if as_json:
        print_json(found)
        return
    made = table("Host", "Status", "Attached to", "VNIC type")
    for binding in found:
        row(made, binding["host"], status(binding["status"]), in_words(binding), binding["vnic_type"])
    show(made, none=f"Port {port} is bound on no host.")


@app.command("show")
def show_binding(context: typer.Context, port: PortName, host: HostName, as_json: AsJson = False) -> None:
    """Show a port's binding on a host."""
    with connect(context) as api:
        _show(api.get(_path(api, port, host))["binding"], as_json)


@app.command("create")
def create_binding(context: typer.Context, port: PortName, host: HostName, as_json: AsJson = False) -> None:
    """Bind a port on a host; the binding is INACTIVE until `kedge bindings activate`."""
    with connect(context) as api:
        _show(api.post(_path(api, port), {"binding": {"host": host}})["binding"], as_json)


@app.command("activate")
def activate_binding(context: typer.Context, port: PortName, host: HostName, as_json: AsJson = False) -> None:
    """Make a port's binding on a host its ACTIVE one."""
    with connect(context) as api:
        _show(api.put(f"{_path(api, port, host)}/activate"), as_json)


@app.command("delete")
def delete_binding(context: typer.Context, port: PortName, host: HostName, as_json: AsJson = False) -> None:
    """Delete a port's binding on a host; the ACTIVE one of a running server refuses."""
    with connect(context) as api:
        path = _path(api, port, host)
        api.delete(path)
    if as_json:
        print_json({"deleted": host})
        return
    say(f"Port {port} is no longer bound on {host}.")


def _path(api: ControlPlane, port: str, host: str | None = None) -> str:
    path = f"{NETWORK_API}/ports/{lookup.port(api, port)['id']}/bindings"
    return path if host is None else f"{path}/{segment(host)}"


def _show(binding: Json, as_json: bool) -> None:
    if as_json:
        print_json(binding)
        return
    values = {
        "host": binding["host"],
        "status": status(binding["status"]),
        "VIF type": status(binding["vif_type"]),
        "VNIC type": binding["vnic_type"],
    }
    details = {f"  {key}": str(value) for key, value in sorted(binding["vif_details"].items())}
    profile = {f"  profile {key}": str(value) for key, value in sorted(binding["profile"].items())}
    facts(values | details | profile)
