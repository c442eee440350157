"""`kedge networks …`."""

from typing import Annotated

import typer

from kedge.model.errors import KedgeError

from . import lookup
from .client import ControlPlane, Json, connect
from .lookup import NETWORK_API
from .options import AsJson, NetworkName
from .render import facts, listed, print_json, row, say, show, table

app = typer.Typer(no_args_is_help=True, help="Networks: layer-2 segments that servers' ports are on.")


@app.command("list")
def list_networks(context: typer.Context, as_json: AsJson = False) -> None:
    """List the networks."""
    with connect(context) as api:
        found = lookup.networks(api)
        cidrs = {} if as_json else _cidrs(api)
    if as_json:
        print_json(found)
        return
    made = table("Id", "Name", "Physical network", "Type", "MTU", "Subnets")
    for network in found:
        subnets = listed(cidrs.get(network["id"], ()))
        row(made, network["id"], network["name"], _physical(network), _type(network), network["mtu"], subnets)
    show(made, none="There is no network yet; make one with `kedge networks create`.")


@app.command("show")
def show_network(context: typer.Context, network: NetworkName, as_json: AsJson = False) -> None:
    """Show a network."""
    with connect(context) as api:
        _show(api, lookup.network(api, network), as_json)


@app.command("create")
def create_network(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new network's name.")],
    *,
    physical_network: Annotated[
        str, typer.Option(metavar="NAME", help="What carries it, for example physnet1.")
    ],
    vlan: Annotated[int | None, typer.Option(metavar="ID", help="Its VLAN tag; untagged without.")] = None,
    mtu: Annotated[int, typer.Option(metavar="BYTES", help="Its MTU.")] = 1500,
    subnet: Annotated[
        str | None, typer.Option(metavar="CIDR", help="Give its ports addresses of this subnet.")
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Let every project put ports on it; for admins.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a network, with a subnet if one is named."""
    body = {
        "name": name,
        "mtu": mtu,
        "shared": shared,
        "provider:network_type": "flat" if vlan is None else "vlan",
        "provider:physical_network": physical_network,
    }
    if vlan is not None:
        body["provider:segmentation_id"] = vlan
    with connect(context) as api:
        network: Json = api.post(f"{NETWORK_API}/networks", {"network": body})["network"]
        if subnet is not None:
            network = _with_subnet(api, network, subnet)
        _show(api, network, as_json)


@app.command("delete")
def delete_network(context: typer.Context, network: NetworkName, as_json: AsJson = False) -> None:
    """Delete a network that has no ports."""
    with connect(context) as api:
        found = lookup.network(api, network)
        api.delete(f"{NETWORK_API}/networks/{found['id']}")
    if as_json:
        print_json({"deleted": found["id"]})
        return
    say(f"Network {found['name'] or found['id']} is deleted.")


def _with_subnet(api: ControlPlane, network: Json, cidr: str) -> Json:
    # Without DHCP, of which Kedge serves none anyway, a /31 is a subnet too (RFC 3021).
    new = {"network_id": network["id"], "cidr": cidr, "enable_dhcp": False}
    try:
        api.post(f"{NETWORK_API}/subnets", {"subnet": new})
    except KedgeError:
        # Asked for was a network with this subnet; half of that is nothing that anybody wanted.
        api.delete(f"{NETWORK_API}/networks/{network['id']}")
        raise
    found: Json = api.get(f"{NETWORK_API}/networks/{network['id']}")["network"]
    return found


def _show(api: ControlPlane, network: Json, as_json: bool) -> None:
    if as_json:
        print_json(network)
        return
    facts(
        {
            "id": network["id"],
            "name": network["name"],
            "physical network": _physical(network),
            "type": _type(network),
            "MTU": network["mtu"],
            "shared": "yes" if network["shared"] else "no",
            "subnets": listed(_cidrs(api).get(network["id"], ())),
        }
    )


def _cidrs(api: ControlPlane) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for subnet in api.get(f"{NETWORK_API}/subnets")["subnets"]:
        found.setdefault(subnet["network_id"], []).append(subnet["cidr"])
    return found


def _physical(network: Json) -> str:
    return str(network["provider:physical_network"])


def _type(network: Json) -> str:
    vlan = network["provider:segmentation_id"]
    return str(network["provider:network_type"]) if vlan is None else f"VLAN {vlan}"
