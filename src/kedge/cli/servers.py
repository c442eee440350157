"""`kedge server …`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kedge.model.errors import BadRequest
from kedge.model.placement import MIB

from . import lookup, rewirings
from .client import START_S, ControlPlane, Json, connect, segment
from .labels import in_words as labels_in_words
from .labels import parse_labels
from .lookup import KEDGE_API
from .nics import SYNTAX, parse_nic
from .options import AsJson, HostName, Labels, ServerName
from .render import binding as in_words
from .render import facts, listed, print_json, row, say, short, show, status, table

app = typer.Typer(no_args_is_help=True, help="Servers: the VMs that Kedge knows.")


class VirtType(StrEnum):
    """How a VM's CPU runs."""

    KVM = "kvm"
    QEMU = "qemu"


@app.command("list")
def list_servers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the servers."""
    with connect(context) as api:
        found: list[Json] = api.get(f"{KEDGE_API}/servers")
    if as_json:
        print_json(found)
        return
    made = table("Id", "Name", "Host", "Status")
    for server in found:
        row(made, server["id"], server["name"], server["host"], status(server["status"]))
    show(made, none="There is no server; make one with `kedge server create`, or adopt one.")


@app.command("show")
def show_server(context: typer.Context, server: ServerName, as_json: AsJson = False) -> None:
    """Show a server with its ports and their bindings."""
    with connect(context) as api:
        _show(api, lookup.server(api, server), as_json)


@app.command("create")
def create_server(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new server's name.")],
    *,
    host: Annotated[str, typer.Option(metavar="HOST", help="The host to start it on.")],
    nic: Annotated[list[str], typer.Option(metavar="NIC", help=f"{SYNTAX}. May be given again.")],
    xml: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Its domain XML, instead of the below."),
    ] = None,
    kernel: Annotated[str | None, typer.Option(metavar="PATH", help="Kernel, a file on the host.")] = None,
    initrd: Annotated[str | None, typer.Option(metavar="PATH", help="Initial RAM disk, likewise.")] = None,
    cmdline: Annotated[str | None, typer.Option(metavar="TEXT", help="The kernel's command line.")] = None,
    disk: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A disk image that all hosts share; may be given again."),
    ] = None,
    memory: Annotated[int | None, typer.Option(metavar="MIB", min=1, help="Memory; 512 without.")] = None,
    vcpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="Virtual CPUs; 1 without.")] = None,
    virt_type: Annotated[VirtType | None, typer.Option("--type", help="kvm without.")] = None,
    cpu: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A CPU model that every host can offer.")
    ] = None,
    serial_log: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write its serial console to this file on the host.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a server and start it."""
    options = {
        "kernel": kernel,
        "initrd": initrd,
        "cmdline": cmdline,
        "disks": disk or None,
        "memory_mib": memory,
        "vcpus": vcpus,
        "virt_type": virt_type.value if virt_type else None,
        "cpu_model": cpu,
        "serial_log": serial_log,
    }
    given = {key: value for key, value in options.items() if value is not None}
    body = {"name": name, "host": host, "nics": [parse_nic(each) for each in nic], **_domain(xml, given)}
    with connect(context) as api:
        _resolve_ports(api, body["nics"])
        made: Json = api.post(f"{KEDGE_API}/servers", body, wait_s=START_S)
        _show(api, made if as_json else lookup.server(api, made["id"]), as_json)


@app.command("adopt")
def adopt_server(
    context: typer.Context,
    host: HostName,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The name or UUID of a domain there.")],
    as_json: AsJson = False,
) -> None:
    """Take a libvirt domain that runs on a host as a server, without touching it."""
    with connect(context) as api:
        adopted: Json = api.post(f"{KEDGE_API}/servers/adopt", {"host": host, "domain": domain})
        if as_json:
            print_json(adopted)
            return
        say(f"Domain {domain} on {host} is a server now; nothing on {host} was touched.", "green")
        _show(api, lookup.server(api, adopted["server"]["id"]), as_json)


@app.command("label")
def label_server(context: typer.Context, server: ServerName, labels: Labels, as_json: AsJson = False) -> None:
    """Set labels of a server, or take them off.

    `anti-affinity=X` keeps it from hosts that have another one; `affinity` and `soft-anti-affinity` are wishes.
    """
    with connect(context) as api:
        body = {"labels": parse_labels(labels)}
        found: Json = api.patch(f"{KEDGE_API}/servers/{segment(server)}/labels", body)
    if as_json:
        print_json(found)
    else:
        say(labels_in_words(found["labels"]) or f"{found['name']} has no label.")


@app.command("rewire")
def rewire_server(
    context: typer.Context,
    server: ServerName,
    *,
    to_backend: Annotated[
        str, typer.Option(metavar="DRIVER", help="A backend of its host: openvswitch or linuxbridge.")
    ],
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Only say what would happen; nothing is stored or made.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; it goes on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move the ports of a running server to another switch of its host. The server stays where it is."""
    path = f"{KEDGE_API}/servers/{segment(server)}/rewire"
    with connect(context) as api:
        if simulate:
            rewirings.show_plan(api.post(f"{path}/plan", {"to_backend": to_backend}), as_json=as_json)
        else:
            begun: Json = api.post(path, {"to_backend": to_backend}, wait_s=START_S)
            rewirings.show_begun(api, begun, detach=detach, as_json=as_json)


@app.command("delete")
def delete_server(context: typer.Context, server: ServerName, as_json: AsJson = False) -> None:
    """Destroy a server, and delete its ports."""
    with connect(context) as api:
        found = lookup.server(api, server)
        api.delete(f"{KEDGE_API}/servers/{segment(found['id'])}", wait_s=START_S)
    if as_json:
        print_json({"deleted": found["id"]})
        return
    say(f"Server {found['name']} and its {len(found['ports'])} port(s) are deleted.")


def _domain(xml: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    if xml is None:
        return given
    if given:
        raise BadRequest(
            "--xml says all of a server but its NICs; leave out the options that describe another."
        )
    try:
        return {"xml": xml.read_text()}
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--xml {xml} can't be read: {error}") from None


def _resolve_ports(api: ControlPlane, nics: list[dict[str, Any]]) -> None:
    for nic in nics:
        if "port" in nic:
            nic["port"] = lookup.port(api, nic["port"])["id"]


def _show(api: ControlPlane, server: Json, as_json: bool) -> None:
    if as_json:
        print_json(server)
        return
    facts(
        {
            "id": server["id"],
            "name": server["name"],
            "host": server["host"],
            "status": status(server["status"]),
            "labels": ", ".join(f"{key}={value}" for key, value in sorted(server["labels"].items())),
            "takes": f"{server['demand']['memory'] // MIB} MiB, {server['demand']['vcpus']} CPUs",
        }
    )
    networks = {each["id"]: each["name"] for each in lookup.networks(api)}
    made = table("Id", "MAC", "Network", "Addresses", "Host", "Binding", "Attached to")
    for port in server["ports"]:
        first = (
            short(port["id"]),
            port["mac_address"],
            networks.get(port["network_id"]) or port["network_id"],
            listed(port["fixed_ips"]),
        )
        for binding in port["bindings"]:
            row(made, *first, binding["host"], status(binding["status"]), in_words(binding))
            first = ("", "", "", "")
        if not port["bindings"]:
            row(made, *first, None, None, None)
    say()
    show(made, none="It has no port.")
