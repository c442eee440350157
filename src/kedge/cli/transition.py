"""`kedge transition`."""

from typing import Annotated

import typer

from kedge.model.errors import BadRequest

from .client import Json
from .operation_begin import begins, names_said


@begins
def transition(
    hosts: Annotated[
        str, typer.Option("--hosts", metavar="HOST,…", help="The hosts, in the order of their turns.")
    ],
    to_backend: Annotated[
        str,
        typer.Option("--to-backend", metavar="DRIVER", help="What their agents shall report: openvswitch, …"),
    ],
    *,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="PHYSNET=DEVICE",
            help="What shall carry a physical network there, again for another one; any device without.",
        ),
    ] = None,
    run: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="NAME",
            help="The command in the control plane's kedge.toml that changes a host. Without, you do, when told to.",
        ),
    ] = "",
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", help="Change so many hosts at once; 1 without.", show_default=False),
    ] = None,
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures",
            help="Go on in spite of so many hosts in trouble; 0 without.",
            show_default=False,
        ),
    ] = None,
) -> Json:
    """Change the network backend of hosts, one after the other: empty each, change it, try it, bring its servers back.

    It stops at the first host in trouble, and goes on with `kedge operations resume`. Ctrl-C leaves it running.
    """
    limits = {"hosts_at_once": at_once, "troubled_hosts": max_failures}
    return {
        "kind": "transition",
        "transition": {
            "hosts": names_said(hosts),
            "to_backend": to_backend,
            "mappings": dict(_mapping(each) for each in mapping or ()),
            "run": run,
        },
        "limits": {name: value for name, value in limits.items() if value is not None},
    }


def _mapping(said: str) -> tuple[str, str]:
    physical, _, device = said.partition("=")
    if not (physical and device):
        raise BadRequest(f"{said!r} maps nothing; write PHYSNET=DEVICE, for example physnet1=eth3.")
    return physical, device
