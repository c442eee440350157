"""Which hosts of a transition can be changed in place, by what is known before they are changed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kedge.model.domain import DomainState
from kedge.model.errors import CannotMigrate, KedgeError
from kedge.model.server import Server
from kedge.model.transition import Transition, Way

from ...migrations.actor import Tools
from ...rewirings.rewirings import Rewirings

_AT_ONCE = 16
"""So many hosts are asked for their domains at one time."""

OFF = frozenset({DomainState.SHUTOFF, DomainState.CRASHED})
"""A domain in one of these states has no tap in any switch."""


@dataclass(frozen=True)
class Ways:
    """The hosts that are changed in place; `why` says, by host, why others are not, unless nobody asked."""

    in_place: frozenset[str] = frozenset()
    why: Mapping[str, str] = field(default_factory=dict)


def ways_of(wanted: Transition, servers: Sequence[Server], tools: Tools, rewirings: Rewirings) -> Ways:
    """How each host is changed. Raises CannotMigrate if it was to be in place and can't."""
    if wanted.way is Way.MOVES:
        return Ways()

    if wanted.way is Way.AUTO and wanted.run and not tools.commands.heeds_way(wanted.run):
        told = (
            f"`{wanted.run}` is not told that servers stay on the host: it has no {{way}} among its arguments"
        )
        return Ways(why=dict.fromkeys(wanted.hosts, told))
    on = defaultdict[str, list[Server]](list)
    for each in servers:
        on[each.host].append(each)

    def reasons(host: str) -> list[str]:
        return _in_the_way(host, on.get(host, ()), wanted, tools, rewirings)

    with ThreadPoolExecutor(min(_AT_ONCE, len(wanted.hosts)), thread_name_prefix="ways") as pool:
        found = dict(zip(wanted.hosts, pool.map(reasons, wanted.hosts), strict=True))
    if wanted.way is Way.IN_PLACE:
        in_the_way = [f"{host}: {reason}" for host, those in found.items() for reason in those]
        if in_the_way:
            raise CannotMigrate(f"The hosts can't be changed to {wanted} in place", in_the_way)
        return Ways(frozenset(wanted.hosts))
    why = {host: _in_short(those) for host, those in found.items() if those}
    why |= {host: "no server is on it" for host in found if host not in on}
    return Ways(frozenset(found.keys() - why.keys()), why)


def _in_the_way(
    host: str, servers: Sequence[Server], wanted: Transition, tools: Tools, rewirings: Rewirings
) -> list[str]:
    if not rewirings.is_switch(wanted.to_backend):
        return [f"{wanted.to_backend} is no switch"]
    if not servers:
        return []
    try:
        states = {each.uuid: each.state for each in tools.agents.agent(host).domains()}
        return [
            f"{server.name}: {reason}"
            for server in servers
            if states.get(server.id) not in OFF
            for reason in rewirings.in_the_way(server, wanted.to_backend, wanted.mappings)
        ]
    except KedgeError as error:
        return [str(error)]


def _in_short(reasons: Sequence[str]) -> str:
    more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}"
