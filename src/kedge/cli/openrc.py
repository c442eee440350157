"""`kedge openrc`: how OpenStack's clients are told where Kedge's two services are."""

import json
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit

import typer

from kedge.model.errors import BadRequest

from .client import ADDRESS
from .connection import UNIX


def openrc(
    context: typer.Context,
    cloud: Annotated[str, typer.Option(metavar="NAME", help="What the cloud is to be called.")] = "kedge",
) -> None:
    """Print a clouds.yaml for `openstack` and openstacksdk: with the user and password of --url, if it has them.

    kedge --url https://root:…@192.0.2.1:9696 openrc > clouds.yaml
    """
    url = context.parent.params.get("url") if context.parent else None
    typer.echo(clouds_yaml(url or ADDRESS, cloud), nl=False)


def clouds_yaml(url: str, cloud: str) -> str:
    """The text of the file. Raises BadRequest for a URL that OpenStack's clients can't be given."""
    if url.startswith(UNIX):
        raise BadRequest(
            f"OpenStack's clients speak to no Unix socket; name the address that `listen` says: --url {ADDRESS}."
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRequest(f"--url must be http[s]://[NAME:PASSWORD@]ADDRESS:PORT, for example {ADDRESS}.")
    bare = _bare(parts)
    auth: dict[str, Any] = {"endpoint": f"{bare}/network"}
    if parts.username is not None:
        auth |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    lines = [
        "clouds:",
        f"  {json.dumps(cloud)}:",
        f"    auth_type: {'none' if parts.username is None else 'http_basic'}",
        "    auth:",
        # A JSON text is YAML too, whatever a password is made of.
        *(f"      {name}: {json.dumps(value)}" for name, value in auth.items()),
        f"    network_endpoint_override: {json.dumps(f'{bare}/network')}",
        f"    compute_endpoint_override: {json.dumps(f'{bare}/compute/v2.1')}",
        "    # There is no Keystone. Some commands look for one before they do without it.",
        '    identity_api_version: "3"',
        f"    identity_endpoint_override: {json.dumps(f'{bare}/network')}",
    ]
    return "\n".join([*lines, ""])


def _bare(parts: SplitResult) -> str:
    """Without what says who calls."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
