"""What an operation does next: a pure function of the fleet as it is seen, asked anew after everything that happens.

Nothing is remembered between two decisions that could not be seen again, so whoever drives an operation may die at any
instant. The rules:

1. A server that has arrived, is gone, or is being migrated by anybody is left alone.
2. A server goes to the best host that placement knows, but never to one that a plan refused, nor to a host that the
   operation empties; and only as the limits of its source, of that host and of the operation allow.
3. Nothing begins while the operation is paused or aborted, outside its window, or once too many migrations failed.
4. After a failure a server waits, each time longer (`timing`). It goes where it failed before only if it finds no
   place elsewhere.
5. A server that finds no place waits as long as a migration of the operation is under way, which may make room.
6. Where a server of an operation of higher priority waits, the host's last places are left to it.
7. The operation ends when none of its migrations is under way and none could begin, now or later.
"""

from collections import Counter
from dataclasses import replace

from kedge.core.placement import Fleet, PlacedServer, Placement, place
from kedge.model.operation import Abort, Outcome

from .order import rank
from .seen import Decision, Move, Outlook, Running, Seen, Start, State, Tune
from .timing import let_wait


def decide(seen: Seen) -> Decision:
    """What to begin, to slow down or speed up, and to end now; or how the operation has ended."""
    ours = [each for each in seen.running if each.ours]
    outlooks = {move.server_id: _outlook(move, seen) for move in seen.moves}
    starts: tuple[Start, ...] = ()
    without_place: frozenset[str] = frozenset()
    wake_s = None
    if not seen.paused and seen.abort is None and not _too_many_failed(seen):
        wake_s = let_wait(seen, outlooks)
        starts, without_place = _begin(seen, outlooks)
    share = _share(seen, len(ours) + len(starts))
    return Decision(
        tune=tuple(
            Tune(each.server_id, share) for each in ours if each.bandwidth_mib != share and not each.ending
        ),
        end=_to_end(seen, ours),
        start=tuple(replace(each, bandwidth_mib=share) for each in starts),
        outcome=None if ours or starts else _outcome(seen, outlooks),
        outlooks=outlooks,
        without_place=without_place,
        wake_s=wake_s,
    )


def _outlook(move: Move, seen: Seen) -> Outlook:
    server = seen.fleet.servers.get(move.server_id)
    if server is None:
        return Outlook(State.GONE)
    for each in seen.running:
        if each.server_id == move.server_id:
            if each.ours:
                return Outlook(State.MOVING)
            return Outlook(State.WAITING, ("a migration that somebody else began is under way",))
    if move.has_arrived(server):
        return Outlook(State.ARRIVED)
    if move.left is not None:
        return Outlook(State.STUCK, (move.left,))
    if sum(each.failed for each in move.tried) >= seen.limits.attempts:
        return Outlook(State.STUCK, tuple(f"{each.host}: {each.why}" for each in move.tried))
    return Outlook(State.WAITING)


def _begin(seen: Seen, outlooks: dict[str, Outlook]) -> tuple[tuple[Start, ...], frozenset[str]]:
    """The migrations to begin now, and who finds no place. Writes into `outlooks` why others don't begin."""
    limits, fleet = seen.limits, seen.fleet
    leaving = Counter([*(each.source for each in seen.running), *(each.source for each in seen.ahead)])
    arriving = Counter(each.destination for each in seen.running)
    arriving.update(host for each in seen.ahead for host in each.hosts)
    carrying = Counter(network for each in seen.running for network in each.networks)
    ours = sum(each.ours for each in seen.running)
    slots = min(limits.in_all, limits.bandwidth_mib or limits.in_all) - ours
    starts: list[Start] = []
    without_place: dict[str, tuple[str, ...]] = {}
    for server, move in _in_order(seen, outlooks):
        if len(starts) >= slots:
            break
        if leaving[server.host] >= limits.per_source:
            continue
        if move.hosts and all(arriving[each] >= limits.per_destination for each in move.hosts):
            continue
        without = fleet.unplanned(server.id)
        found = _place(server, move, seen, without)
        if not found.ranked:
            without_place[server.id] = _reasons(found, move)
            continue
        ways = {each.host: networks_between(fleet, server.host, each.host) for each in found.ranked}
        free = [
            host
            for host, networks in ways.items()
            if arriving[host] < limits.per_destination and not _full(networks, carrying, limits.per_network)
        ]
        if not free:
            continue
        starts.append(Start(server.id, free[0]))
        fleet = without.promising(server.id, free[0])
        leaving[server.host] += 1
        arriving[free[0]] += 1
        carrying.update(ways[free[0]])
    for start in starts:
        outlooks[start.server_id] = Outlook(State.MOVING)
    state = State.WAITING if starts or ours else State.STUCK
    outlooks.update({server_id: Outlook(state, why) for server_id, why in without_place.items()})
    return tuple(starts), frozenset(without_place)


def networks_between(fleet: Fleet, source: str, destination: str) -> frozenset[str]:
    """The migration networks that these two hosts are on; one of which that is not known is on none."""
    hosts = (fleet.hosts[name].host for name in (source, destination) if name in fleet.hosts)
    return frozenset(host.migration_network for host in hosts if host.migration_network)


def _full(networks: frozenset[str], carrying: Counter[str], limit: int) -> bool:
    return limit > 0 and any(carrying[each] >= limit for each in networks)


def _place(server: PlacedServer, move: Move, seen: Seen, fleet: Fleet) -> Placement:
    """Where it could go; where its migration failed already, only if it could go nowhere else."""
    allowed = _allowed(seen, move, server)
    failed = {each.host for each in move.tried}
    found = place(server, fleet, allowed - failed)
    return found if found.ranked or not failed & allowed else place(server, fleet, allowed)


def _in_order(seen: Seen, outlooks: dict[str, Outlook]) -> list[tuple[PlacedServer, Move]]:
    waiting = [
        (seen.fleet.servers[move.server_id], move)
        for move in seen.moves
        if outlooks[move.server_id] == Outlook(State.WAITING)
    ]
    return sorted(waiting, key=lambda each: rank(each[0], seen.limits.order))


def _allowed(seen: Seen, move: Move, server: PlacedServer) -> set[str]:
    refused = {each.host for each in move.tried if not each.failed}
    hosts = seen.fleet.hosts.keys() & move.hosts if move.hosts else seen.fleet.hosts.keys()
    return hosts - seen.emptying - {server.host, move.away_from} - refused


def _reasons(found: Placement, move: Move) -> tuple[str, ...]:
    left_out = [f"{each.host}: {'; '.join(map(str, each.obstacles))}" for each in found.left_out]
    reasons = (*left_out, *(f"{each.host}: {each.why}" for each in move.tried))
    return reasons or ("there is no host that it may go to",)


def _share(seen: Seen, running: int) -> int:
    """Each migration's part of the bandwidth. It is at least 1, as no more run than there are MiB/s."""
    limit = seen.limits.bandwidth_mib
    return max(1, limit // max(1, running)) if limit else 0


def _to_end(seen: Seen, ours: list[Running]) -> tuple[str, ...]:
    if seen.abort is not Abort.ABORT_RUNNING:
        return ()
    return tuple(each.server_id for each in ours if not each.ending)


def _too_many_failed(seen: Seen) -> bool:
    return sum(tried.failed for move in seen.moves for tried in move.tried) > seen.limits.max_failures


def _outcome(seen: Seen, outlooks: dict[str, Outlook]) -> Outcome | None:
    """How it has ended, with none of its migrations under way; None if it has not."""
    states = {each.state for each in outlooks.values()}
    if states <= {State.ARRIVED, State.GONE}:
        return Outcome.COMPLETED
    if seen.abort is not None:
        return Outcome.ABORTED
    if _too_many_failed(seen):
        return Outcome.FAILED
    if seen.paused or State.WAITING in states:
        return None
    return Outcome.FAILED
