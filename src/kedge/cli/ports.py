"""`kedge ports …`."""

from typing import Annotated, Any

import typer

from . import lookup
from .client import ControlPlane, Json, connect
from .lookup import NETWORK_API
from .options import AsJson, OfServer, PortName
from .render import attachment, facts, listed, print_json, row, say, short, show, status, table

app = typer.Typer(no_args_is_help=True, help="Ports: the NICs of servers, as the network knows them.")


@app.command("list")
def list_ports(context: typer.Context, server: OfServer = None, as_json: AsJson = False) -> None:
    """List the ports."""
    with connect(context) as api:
        equal = {"device_id": lookup.server(api, server)["id"]} if server is not None else {}
        found = lookup.ports(api, **equal)
        if as_json:
            print_json(found)
            return
        networks = {each["id"]: each["name"] for each in lookup.networks(api)}
        servers = lookup.server_names(api)
    made = table("Id", "MAC", "Network", "Addresses", "Status", "Server", "Host", "Attached to")
    for port in found:
        row(
            made,
            short(port["id"]),
            port["mac_address"],
            networks.get(port["network_id"]) or port["network_id"],
            _addresses(port),
            status(port["status"]),
            _server(port, servers),
            port["binding:host_id"] or None,
            _attached(port),
        )
    show(made, none="There is no port." if server is None else f"Server {server} has no port.")


@app.command("show")
def show_port(context: typer.Context, port: PortName, as_json: AsJson = False) -> None:
    """Show a port with its ACTIVE binding."""
    with connect(context) as api:
        _show(api, lookup.port(api, port), as_json)


@app.command("create")
def create_port(
    context: typer.Context,
    *,
    network: Annotated[str, typer.Option("--network", metavar="NETWORK", help="A network's name or id.")],
    mac: Annotated[
        str | None, typer.Option(metavar="MAC", help="Its MAC address; a free one without.")
    ] = None,
    ip: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Its IP address; may be given again.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a port, for `kedge server create --nic port=…`."""
    with connect(context) as api:
        # A port that is made here is for a server, and only such a port can be bound ahead of having one.
        body: dict[str, Any] = {
            "network_id": lookup.network(api, network)["id"],
            "name": name,
            "device_owner": "compute:kedge",
        }
        if mac is not None:
            body["mac_address"] = mac
        if ip:
            body["fixed_ips"] = [{"ip_address": each} for each in ip]
        made: Json = api.post(f"{NETWORK_API}/ports", {"port": body})["port"]
        _show(api, made, as_json)


@app.command("delete")
def delete_port(context: typer.Context, port: PortName, as_json: AsJson = False) -> None:
    """Delete a port with its bindings; a running server's port refuses."""
    with connect(context) as api:
        found = lookup.port(api, port)
        api.delete(f"{NETWORK_API}/ports/{found['id']}")
    if as_json:
        print_json({"deleted": found["id"]})
        return
    say(f"Port {found['id']} is deleted.")


def _show(api: ControlPlane, port: Json, as_json: bool) -> None:
    if as_json:
        print_json(port)
        return
    networks = {each["id"]: each["name"] for each in lookup.networks(api)}
    facts(
        {
            "id": port["id"],
            "name": port["name"] or None,
            "network": networks.get(port["network_id"]) or port["network_id"],
            "MAC": port["mac_address"],
            "addresses": _addresses(port),
            "status": status(port["status"]),
            "server": _server(port, lookup.server_names(api)),
            "host": port["binding:host_id"] or None,
            "attached to": _attached(port),
        }
    )


def _addresses(port: Json) -> str:
    return listed(each["ip_address"] for each in port["fixed_ips"])


def _server(port: Json, names: dict[str, str]) -> str | None:
    device = str(port["device_id"])
    return names.get(device, device) or None


def _attached(port: Json) -> str:
    return attachment(port["binding:vif_type"], port["binding:vif_details"])
