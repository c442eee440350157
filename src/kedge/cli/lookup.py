"""Finding one thing by what a person calls it."""

from collections.abc import Sequence

from kedge.model.errors import BadRequest, NotFound

from .client import ControlPlane, Json, segment

NETWORK_API = "/network/v2.0"
KEDGE_API = "/kedge/v1"

_SHOWN = 10
"""So many of the things that there are get named when none is the one that was asked for."""


def network(api: ControlPlane, wanted: str) -> Json:
    """The network with this name or id, or the only one whose id begins so. Raises NotFound, BadRequest."""
    return _one("network", wanted, networks(api))


def port(api: ControlPlane, wanted: str) -> Json:
    """The port with this name or id, or the only one whose id begins so. Raises NotFound, BadRequest."""
    return _one("port", wanted, ports(api))


def server(api: ControlPlane, wanted: str) -> Json:
    """The server with this name or id, with its ports and their bindings. Raises NotFound, BadRequest."""
    found: Json = api.get(f"{KEDGE_API}/servers/{segment(wanted)}")
    return found


def host(api: ControlPlane, wanted: str) -> Json:
    """The host of this name. Raises NotFound."""
    hosts: list[Json] = api.get(f"{KEDGE_API}/hosts")
    found = [each for each in hosts if each["name"] == wanted]
    if not found:
        known = ", ".join(each["name"] for each in hosts[:_SHOWN]) or "none"
        more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
        raise NotFound(f"There is no host {wanted!r}. Known hosts: {known}{more}.")
    return found[0]


def networks(api: ControlPlane) -> list[Json]:
    """All networks."""
    found: list[Json] = api.get(f"{NETWORK_API}/networks")["networks"]
    return found


def ports(api: ControlPlane, **equal: str) -> list[Json]:
    """The ports whose attributes have these values."""
    found: list[Json] = api.get(f"{NETWORK_API}/ports", equal)["ports"]
    return found


def server_names(api: ControlPlane) -> dict[str, str]:
    """The name of each server by its id."""
    return {each["id"]: each["name"] for each in api.get(f"{KEDGE_API}/servers")}


def _one(kind: str, wanted: str, things: Sequence[Json]) -> Json:
    if not wanted:
        raise BadRequest(f"'' is neither a {kind}'s name nor its id.")
    found = [each for each in things if each["id"] == wanted]
    found = found or [each for each in things if each["name"] == wanted]
    found = found or [each for each in things if each["id"].startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(each["id"] for each in found)
        raise BadRequest(f"Several {kind}s are called {wanted!r}; use an id: {ids}")
    known = ", ".join(each["name"] or each["id"] for each in things[:_SHOWN]) or "none"
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    raise NotFound(f"There is no {kind} {wanted!r}. Known {kind}s: {known}{more}.")
