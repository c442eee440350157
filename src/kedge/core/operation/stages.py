"""How hosts change their network backend one after the other: pure, asked anew after everything that happens.

A host is emptied, changed by a command or a person, tried with a port that nobody needs, and filled again. One that is
changed *in place* is not emptied: once it was changed and tried, the ports of its servers go over to the new switch
(`in_place`). `moves` says which servers have to go where as long as the hosts are at these stages; `decide` begins the
migrations; `advance` then says what is done with each host. The rules:

1. A host is changed, and tried, only while no server is on it or on its way there; in place, only while it takes none.
2. Servers come back only to a host whose agent reports what is wanted and on which a port was tried.
3. A command is run once. It is run again only when a person has resumed a host that was in trouble.
4. Whether a host was changed is what its agent reports, never what a command said.
5. The next host's turn comes only if not too many are at work or in trouble, and if its servers fit elsewhere, unless
   they stay.
6. Nothing is begun while the operation is paused or aborted. A host in trouble stays as it is.
"""

from collections.abc import Iterable, Mapping

from kedge.core.placement import Fleet, PlacedServer, place
from kedge.model.operation import Outcome
from kedge.model.transition import CommandState, Stage, Transition, reported_in_words

from .host_seen import Act, Advance, HostSeen, Step, Wired
from .in_place import outlook_of, rewired, rewires
from .seen import Decision, Move, Outlook, Seen, State
from .timing import opens_at

REPORTS_WITHIN_S = 180.0
"""After its command has succeeded, a host's agent must report what is wanted within this time."""


def moves(
    wanted: Transition, hosts: Iterable[HostSeen], homes: Mapping[str, str], fleet: Fleet
) -> tuple[Move, ...]:
    """Which servers have to go where. `homes` has, by server, the host that it comes back to.

    What was tried before is for the caller to add.
    """
    hosts = tuple(hosts)
    untroubled = [each for each in hosts if each.trouble is None]
    returning = {
        each.name for each in untroubled if each.stage is Stage.RETURNING and wanted.is_met_by(each.host)
    }
    emptying = {each.name for each in untroubled if each.stage is Stage.EMPTYING}
    if not returning and not emptying:
        return ()
    spare = tuple(sorted(fleet.hosts.keys() - {each.name for each in hosts if each.stage.is_under_way}))
    found, servers = [], fleet.servers
    for server_id, home in homes.items():
        if server_id not in servers:
            continue
        if home in returning:
            found.append(Move(server_id, hosts=(home,)))
        elif servers[server_id].host in emptying:
            found.append(Move(server_id, servers[server_id].host, spare))
    return tuple(found)


def advance(
    wanted: Transition, hosts: tuple[HostSeen, ...], homes: Mapping[str, str], seen: Seen, decided: Decision
) -> Advance:
    """What is done with each host now that these migrations are decided, or how it has ended."""
    steps = {each.name: _step(wanted, each, homes, seen, decided) for each in hosts}
    ours = any(each.ours for each in seen.running) or bool(decided.start) or rewires(hosts)
    if seen.abort is not None:
        running = any(each.command and each.command.state is CommandState.RUNNING for each in hosts)
        return Advance(steps, None if ours or running else Outcome.ABORTED)
    if all(each.stage is Stage.DONE for each in hosts):
        return Advance(steps, None if ours else Outcome.COMPLETED)
    short, wake_s = False, None
    following = None if seen.paused else _next(hosts, seen)
    if following is not None or any(each.stage is Stage.REWIRING and not each.trouble for each in hosts):
        wake_s = opens_at(seen)
    if following is not None and wake_s is None:
        short = _begin(following, hosts, seen, decided, steps)
    idle = all(
        each.stage is Stage.DONE
        or each.trouble is not None
        or (each.stage is Stage.QUEUED and steps[each.name] == Step(Act.WAIT))
        for each in hosts
    )
    return Advance(steps, None, idle and wake_s is None and not ours and not seen.paused, short, wake_s)


def outlooks(
    hosts: Iterable[HostSeen], homes: Mapping[str, str], fleet: Fleet, decided: Decision
) -> dict[str, Outlook]:
    """How each server stands, those too that have nowhere to go at this stage."""
    stages = {each.name: each for each in hosts}
    found = {}
    for server_id, home in homes.items():
        server, host = fleet.servers.get(server_id), stages.get(home)
        if server is None:
            found[server_id] = Outlook(State.GONE)
        elif server_id in decided.outlooks:
            found[server_id] = decided.outlooks[server_id]
        elif host is not None and host.in_place and host.stage is Stage.REWIRING:
            found[server_id] = outlook_of(server_id, home, host.servers, fleet)
        elif host is None or host.stage is Stage.DONE:
            found[server_id] = Outlook(State.ARRIVED)
        elif host.stage is Stage.QUEUED:
            found[server_id] = Outlook(State.WAITING, (f"the turn of {home} has not come",))
        else:
            found[server_id] = Outlook(State.WAITING, (f"on {server.host}, and {home} is {host.stage}",))
    return found


def stands(each: HostSeen, homes: Mapping[str, str], fleet: Fleet) -> str:
    """In which state the host is left, in words."""
    mine = [
        fleet.servers[server_id].host
        for server_id, home in homes.items()
        if home == each.name and server_id in fleet.servers
    ]
    there = sum(host == each.name for host in mine)
    reports = f"its agent reports {reported_in_words(each.host)}"
    match each.stage:
        case Stage.QUEUED:
            return f"{each.name} is as it was"
        case Stage.DONE:
            return f"{each.name} is done"
        case Stage.RETURNING:
            return f"{each.name} takes servers again, {reports}, and {there} of {len(mine)} servers are back"
        case Stage.REWIRING:
            found = each.servers.values()
            new = sum(server.wired is Wired.NEW for server in found)
            return f"{reports}, and {new} of {len(found)} servers on {each.name} are in the new switch"
    if each.in_place:
        return f"{each.name} takes no other server, {reports}, and its servers are wired as before"
    return f"{each.name} is disabled, {reports}, and {len(mine) - there} of {len(mine)} servers are elsewhere"


def _step(
    wanted: Transition, each: HostSeen, homes: Mapping[str, str], seen: Seen, decided: Decision
) -> Step:
    if each.trouble is not None or each.stage in {Stage.QUEUED, Stage.DONE}:
        return Step(Act.WAIT)
    match each.stage:
        case Stage.EMPTYING:
            on_it = {server.id for server in seen.fleet.on(each.name)}
            step = _moved(on_it, seen, decided)
            if step is None and not _is_left_alone(each.name, seen):
                return Step(Act.WAIT, "a migration to it is under way")
            step = step or Step(Act.ENTER, stage=Stage.CONVERTING)
        case Stage.CONVERTING:
            step = _converted(wanted, each, seen)
        case Stage.VERIFYING:
            step = _verified(wanted, each, seen)
        case Stage.REWIRING:
            step = rewired(wanted, each, seen, decided)
        case _ if each.host.alive and not wanted.is_met_by(each.host):
            step = Step(Act.STOP, f"its agent reports {reported_in_words(each.host)}, and not {wanted}")
        case _:
            away = {
                server_id
                for server_id, home in homes.items()
                if home == each.name
                and server_id in seen.fleet.servers
                and seen.fleet.servers[server_id].host != home
            }
            step = _moved(away, seen, decided) or Step(Act.ENTER, stage=Stage.DONE)
    if step.act in {Act.WAIT, Act.TAKE_BACK} or not (seen.paused or seen.abort is not None):
        return step
    return Step(Act.WAIT, step.why)


def _moved(servers: set[str], seen: Seen, decided: Decision) -> Step | None:
    """Whether these servers still have to go, or can't; None once there is none left."""
    if not servers:
        return None
    outlooks = {server_id: decided.outlooks.get(server_id) for server_id in servers}
    if None in outlooks.values():
        names = ", ".join(
            seen.fleet.servers[each].name for each, outlook in outlooks.items() if outlook is None
        )
        return Step(Act.WAIT, f"{names}: belongs to another operation, or was just found here")
    stuck = [
        _in_words(server_id, outlook, seen)
        for server_id, outlook in outlooks.items()
        if outlook and outlook.state is State.STUCK
    ]
    if stuck and len(stuck) == len(servers):
        return Step(Act.STOP, "; ".join(sorted(stuck)))
    if decided.outcome is Outcome.FAILED:
        return Step(
            Act.STOP, "; ".join(sorted(stuck)) or f"more than {seen.limits.max_failures} migrations failed"
        )
    return Step(Act.WAIT, f"{len(servers)} servers have to move")


def _in_words(server_id: str, outlook: Outlook, seen: Seen) -> str:
    return f"{seen.fleet.servers[server_id].name} can't move: {'; '.join(outlook.why)}"


def _has_company(each: HostSeen, seen: Seen) -> bool:
    return bool(seen.fleet.on(each.name)) or not _is_left_alone(each.name, seen)


def _is_left_alone(host: str, seen: Seen) -> bool:
    """No server is on its way from or to the host."""
    return not any(host in {each.source, each.destination} for each in seen.running)


def _converted(wanted: Transition, each: HostSeen, seen: Seen) -> Step:
    if not each.in_place and _has_company(each, seen):
        return Step(Act.ENTER, stage=Stage.EMPTYING)
    if each.command is not None and each.command.state is CommandState.RUNNING:
        return Step(Act.WAIT, f"`{wanted.run}` runs")
    if each.host.alive and wanted.is_met_by(each.host):
        return Step(Act.ENTER, stage=Stage.VERIFYING)
    reports = f"its agent reports {reported_in_words(each.host)}"
    if each.command is not None and each.command.state is not CommandState.SUCCEEDED:
        return Step(Act.STOP, f"`{wanted.run}` {each.command.why}")
    if each.host.alive and each.host.backends and each.host.backends != each.before:
        return Step(Act.STOP, f"{reports}, and not {wanted}")
    if not wanted.run:
        # An agent that runs while a host is changed mends what its configuration still says.
        how = "add it to the configuration, above the backend that is there, which stays"
        if not each.in_place:
            how = "put it into the configuration"
        return Step(Act.WAIT, f"waits for {wanted}: stop its agent, {how}, and start the agent; {reports}")
    if each.command is None:
        return Step(Act.RUN)
    if each.since_command_s > REPORTS_WITHIN_S:
        return Step(Act.STOP, f"`{wanted.run}` succeeded {each.since_command_s:.0f} s ago, but {reports}")
    return Step(Act.WAIT, f"`{wanted.run}` has succeeded, and {reports}")


def _verified(wanted: Transition, each: HostSeen, seen: Seen) -> Step:
    if not each.in_place and _has_company(each, seen):
        return Step(Act.ENTER, stage=Stage.EMPTYING)
    if not each.host.alive:
        return Step(Act.WAIT, "its agent is silent")
    if not wanted.is_met_by(each.host):
        return Step(Act.ENTER, stage=Stage.CONVERTING)
    return Step(Act.TRY)


def _next(hosts: tuple[HostSeen, ...], seen: Seen) -> str | None:
    """The host whose turn comes, if one's does."""
    queued = [each.name for each in hosts if each.stage is Stage.QUEUED and each.trouble is None]
    at_work = sum(each.stage.is_under_way and each.trouble is None for each in hosts)
    troubled = sum(each.trouble is not None for each in hosts)
    if not queued or troubled > seen.limits.troubled_hosts or at_work >= seen.limits.hosts_at_once:
        return None
    return queued[0]


def _begin(
    name: str, hosts: tuple[HostSeen, ...], seen: Seen, decided: Decision, steps: dict[str, Step]
) -> bool:
    """Writes the step of the host whose turn comes. Says whether its servers fit nowhere."""
    at_work = any(each.stage.is_under_way and each.trouble is None for each in hosts)
    in_place = any(each.name == name and each.in_place for each in hosts)
    places, short = ((), []) if in_place else _elsewhere(name, hosts, seen.fleet)
    if not _is_left_alone(name, seen) or any(each.destination == name for each in decided.start):
        steps[name] = Step(Act.WAIT, "a migration from or to it is under way")
    elif not short:
        steps[name] = Step(Act.ENTER, stage=Stage.CONVERTING if in_place else Stage.EMPTYING, planned=places)
    else:
        steps[name] = Step(Act.WAIT if at_work else Act.STOP, "; ".join(short))
    return bool(short)


def _elsewhere(
    host: str, hosts: Iterable[HostSeen], fleet: Fleet
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Where the servers of this host fit beside those that have to leave other hosts already, and why others don't."""
    under_way = {each.name for each in hosts if each.stage.is_under_way}
    leaving: list[PlacedServer] = []
    for each in hosts:
        if each.stage is Stage.EMPTYING:
            leaving += fleet.on(each.name)
    places, short = [], []
    for server in (*leaving, *fleet.on(host)):
        without = fleet.unplanned(server.id)
        found = place(server, without, fleet.hosts.keys() - under_way - {host})
        if found.ranked:
            fleet = without.promising(server.id, found.ranked[0].host)
            if server.host == host:
                places.append((server.id, found.ranked[0].host))
        elif server.host == host:
            left_out = [f"{each.host}: {'; '.join(map(str, each.obstacles))}" for each in found.left_out]
            short.append(
                f"{server.name} fits nowhere else: {' | '.join(left_out) or 'there is no other host'}"
            )
    return tuple(places), short
