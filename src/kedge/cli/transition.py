"""`kedge transition`."""

from typing import Annotated

import typer

from kedge.model.errors import BadRequest
from kedge.model.transition import Way

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
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Only where the servers can stay: their ports go over to another switch of the host.",
        ),
    ] = False,
    by_moves: Annotated[
        bool,
        typer.Option("--by-moves", help="Move the servers away and back, also where they could stay."),
    ] = False,
    run: Annotated[
        str,
        typer.Option(
            "--run",
            metavar="NAME",
            help="The command in the control plane's kedge.toml that changes a host. Without, you do, when told to.",
        ),
    ] = "",
    change_takes: Annotated[
        float | None,
        typer.Option(
            "--change-takes",
            metavar="SECONDS",
            help="What changing a host takes, where you know better than what was seen; only for the prediction.",
            show_default=False,
        ),
    ] = None,
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
    """Change the network backend of hosts, one after the other: where old and new are switches, the servers stay.

    Their ports go over once the host was changed and tried. Others are emptied, changed, tried, and filled again.
    It stops at the first host in trouble, and goes on with `kedge operations resume`. Ctrl-C leaves it running.
    """
    if in_place and by_moves:
        raise BadRequest(
            "Give --in-place or --by-moves, not both; without, each host is changed as it can be."
        )
    limits = {"hosts_at_once": at_once, "troubled_hosts": max_failures}
    return {
        "kind": "transition",
        "transition": {
            "hosts": names_said(hosts),
            "to_backend": to_backend,
            "mappings": dict(_mapping(each) for each in mapping or ()),
            "run": run,
            "change_s": change_takes,
            "way": Way.IN_PLACE if in_place else Way.MOVES if by_moves else Way.AUTO,
        },
        "limits": {name: value for name, value in limits.items() if value is not None},
    }


def _mapping(said: str) -> tuple[str, str]:
    physical, _, device = said.partition("=")
    if not (physical and device):
        raise BadRequest(f"{said!r} maps nothing; write PHYSNET=DEVICE, for example physnet1=eth3.")
    return physical, device
