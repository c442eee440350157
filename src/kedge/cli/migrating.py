"""Starting a migration and following it."""

from collections.abc import Mapping
from typing import Any

from . import progress
from .client import START_S, ControlPlane, Json, segment
from .lookup import KEDGE_API
from .render import print_json, say, short


def migrate(
    api: ControlPlane,
    server: str,
    to: str,
    options: Mapping[str, Any],
    *,
    policy: str | None = None,
    detach: bool,
    as_json: bool,
) -> None:
    """Migrate a server to the first of the hosts in `to` that can take it; what `options` leaves out is as usual.

    Without any options, the policy holds, or without one the policy that the server's label names.
    Raises SystemExit if it did not complete.
    """
    hosts = [host.strip() for host in to.split(",") if host.strip()]
    path = f"{KEDGE_API}/servers/{segment(server)}/migrate"
    chosen: Json = {"options": dict(options)} if options else {}
    chosen |= {"policy": policy} if policy is not None else {}
    started: Json = api.post(path, {"hosts": hosts} | chosen, wait_s=START_S)
    if not detach:
        progress.follow_to_end(api, started, server, as_json)
    elif as_json:
        print_json(started)
    else:
        say(
            f"Migration {started['id']} of {server} from {started['source']}"
            f" to {started['destination']} has begun;"
            f" `kedge migrations show {short(started['id'])} --follow` shows how far it is."
        )
