"""Groups: servers that have the same value of a label whose key is one of these.

`affinity`: placed beside the others where that can be; a wish, as otherwise no member could ever leave alone.
`anti-affinity`: never moved to a host that has, or is promised, another member; a rule.
`soft-anti-affinity`: moved to the host that has the fewest members; a wish.
The words are Nova's, of its server groups.
"""

from collections.abc import Iterable, Mapping

from kedge.model.errors import BadRequest
from kedge.model.obstacle import Obstacle

from .fleet import Fleet, PlacedServer

AFFINITY = "affinity"
ANTI_AFFINITY = "anti-affinity"
SOFT_ANTI_AFFINITY = "soft-anti-affinity"
KEYS = (AFFINITY, ANTI_AFFINITY, SOFT_ANTI_AFFINITY)
_APART = (ANTI_AFFINITY, SOFT_ANTI_AFFINITY)


def beside(server: PlacedServer, host: str, fleet: Fleet) -> Obstacle | None:
    """That another member of the server's anti-affinity group is there, or on its way there."""
    group = server.labels.get(ANTI_AFFINITY)
    if group is None or not fleet.load(host).groups.get((ANTI_AFFINITY, group)):
        return None
    there = [
        each.name
        for each in fleet.on(host)
        if each.id != server.id and each.labels.get(ANTI_AFFINITY) == group
    ]
    who = ", ".join(there) or "another member that is on its way there"
    return Obstacle(
        "anti-affinity",
        f"server {server.name}",
        f"{host} has {who} of its group {ANTI_AFFINITY}={group}",
        "choose another host, move that one away first, or take the label off",
    )


def closeness(server: PlacedServer, host: str, fleet: Fleet) -> float:
    """How well the wishes are met there, from -1 (beside all that it should be apart from) to 1 (beside all others)."""
    groups = fleet.load(host).groups
    near, far = server.labels.get(AFFINITY), server.labels.get(SOFT_ANTI_AFFINITY)
    sought = groups.get((AFFINITY, near), 0) if near is not None else 0
    shunned = groups.get((SOFT_ANTI_AFFINITY, far), 0) if far is not None else 0
    return sought / (sought + 1) - shunned / (shunned + 1)


def refuse_contradiction(
    server: str, labels: Mapping[str, str], others: Iterable[tuple[str, Mapping[str, str]]]
) -> None:
    """Raises BadRequest if the server would have to be beside and apart from another one at once.

    `others` are the names and labels of the other servers.
    """
    near = labels.get(AFFINITY)
    mine = [(key, labels[key]) for key in _APART if key in labels]
    if near is None or not mine:
        return
    for name, theirs in others:
        for key, value in mine:
            if theirs.get(AFFINITY) == near and theirs.get(key) == value:
                raise BadRequest(
                    f"Server {server} would be kept beside {name} ({AFFINITY}={near}) and apart from it "
                    f"({key}={value}) at once; take one of these labels off."
                )
