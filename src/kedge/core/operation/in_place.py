"""A host that is changed in place: which of its servers' ports go over to the new switch next. Pure.

1. A server is rewired only on a host whose agent reports what is wanted and on which a port was tried.
2. A server that is being migrated is waited for. One that has left, was deleted or is off is left alone.
3. A few are rewired at once, and no more are begun once one has failed. A server is not rewired again by itself.
4. The host is done once every running server on it is in the new switch, those too that came meanwhile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kedge.core.placement import Fleet
from kedge.model.operation import Abort
from kedge.model.transition import Stage, Transition, reported_in_words
from kedge.model.window import clock

from .host_seen import Act, HostSeen, ServerWired, Step, Wired
from .seen import Decision, Outlook, Seen, State
from .timing import opens_at


@dataclass(frozen=True)
class _Next:
    """What is next: rewire these servers, take back what has begun of them, wait, stop; or all is done."""

    rewire: tuple[str, ...] = ()
    take_back: tuple[str, ...] = ()
    wait: str = ""
    trouble: str = ""


def rewires(hosts: Iterable[HostSeen]) -> bool:
    """Whether rewirings of the operation are under way."""
    return any(
        server.ours and server.wired is Wired.CHANGING for each in hosts for server in each.servers.values()
    )


def rewired(wanted: Transition, each: HostSeen, seen: Seen, decided: Decision) -> Step:
    """What is done with a host whose servers are being rewired."""
    following = _next_of(each.name, each.servers, seen, {start.server_id for start in decided.start})
    if following.take_back:
        return Step(Act.TAKE_BACK, servers=following.take_back)
    if each.silent:
        return Step(Act.WAIT, "its agent does not answer")
    if each.host.alive and not wanted.is_met_by(each.host) and not rewires((each,)):
        return Step(Act.STOP, f"its agent reports {reported_in_words(each.host)}, and not {wanted}")
    if following.trouble:
        return Step(Act.STOP, following.trouble)
    if following.rewire and each.host.alive and wanted.is_met_by(each.host):
        return Step(Act.REWIRE, servers=following.rewire)
    if following.rewire or following.wait:
        return Step(Act.WAIT, following.wait or "its agent is silent")
    return Step(Act.ENTER, stage=Stage.DONE)


def outlook_of(server_id: str, home: str, servers: Mapping[str, ServerWired], fleet: Fleet) -> Outlook:
    """How a server stands that was on this host when it is at its stage of rewiring."""
    if fleet.servers[server_id].host != home:
        return Outlook(State.GONE, (f"it was moved to {fleet.servers[server_id].host}",))
    found = servers.get(server_id)
    if found is None:
        return Outlook(State.WAITING)
    match found.wired:
        case Wired.CHANGING:
            return Outlook(State.REWIRING)
        case Wired.NEW:
            return Outlook(State.ARRIVED)
        case Wired.FAILED:
            return Outlook(State.STUCK, (found.why,))
        case Wired.OFF:
            return Outlook(State.ARRIVED, ("it is off, and its ports are bound as before",))
    return Outlook(State.WAITING, (found.why,) if found.why else ())


def _name(server_id: str, seen: Seen) -> str:
    server = seen.fleet.servers.get(server_id)
    return server.name if server else server_id


def _waits_for(server_id: str, moving: set[str]) -> str:
    return "a migration of it is under way" if server_id in moving else "belongs to another operation"


def _next_of(host: str, servers: Mapping[str, ServerWired], seen: Seen, starting: set[str]) -> _Next:
    """What is done with the servers on this host, all of them; nothing, if they are all in the new switch."""
    changing = [each for each, state in servers.items() if state.wired is Wired.CHANGING]
    ours = tuple(each for each in changing if servers[each].ours)
    if seen.abort is not None:
        back = ours if seen.abort is Abort.ABORT_RUNNING else ()
        return _Next(take_back=back, wait=f"{len(ours)} servers are being rewired" if ours else "")
    failed = [each for each, state in servers.items() if state.wired is Wired.FAILED]
    if failed and not changing:
        return _Next(
            trouble="; ".join(sorted(f"{_name(each, seen)}: {servers[each].why}" for each in failed))
        )
    moving = starting.union(each.server_id for each in seen.running)
    old = [each for each, state in servers.items() if state.wired is Wired.OLD]
    opens_s = opens_at(seen)
    if not failed and not seen.paused and opens_s is None:
        ready = [each for each in old if servers[each].ours and each not in moving]
        begun = tuple(ready[: max(0, seen.limits.rewired_at_once - len(changing))])
        if begun:
            return _Next(rewire=begun)
    waits = [each for each in old if each in moving or not servers[each].ours]
    if any(each.destination == host for each in seen.running):
        return _Next(wait="a migration to it is under way")
    if not (old or changing):
        return _Next()
    if waits and len(waits) == len(old) and not changing:
        return _Next(wait=f"{', '.join(_name(each, seen) for each in waits)}: {_waits_for(waits[0], moving)}")
    when = "" if opens_s is None else f", not before {clock(opens_s)}: the window is {seen.limits.window}"
    return _Next(wait=f"{len(old) + len(changing)} servers have to be rewired{when}")
