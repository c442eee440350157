"""What is wrong with where a server is, and with what migrations left of it on hosts."""

from collections.abc import Iterator

from kedge.model.domain import DomainState
from kedge.model.server import STATUS_OF_DOMAIN

from .census import Census
from .finding import Finding, Kind, Remedy, Repair, Severity
from .whereabouts import HELD, RUNS, STOPPED, Place, Whereabouts

BUILDING_S = 600.0
"""Making a server takes seconds; one that is BUILD for longer was forgotten."""


def migration_findings(census: Census) -> Iterator[Finding]:
    """Migrations that nobody drives."""
    for each in census.unfinished:
        if not each.driven:
            yield Finding(
                Kind.UNDRIVEN_MIGRATION,
                Severity.ERROR,
                f"migration {each.id}",
                each.source,
                f"The migration from {each.source} to {each.destination} has not ended and no conductor drives it;"
                " start a control plane on this database, or let --repair drive it to its end.",
                Repair(Remedy.DRIVE, server_id=each.server_id, migration_id=each.id),
            )


def place_findings(server: Whereabouts) -> list[Finding]:
    """What is wrong with where a server is."""
    if server.server.status == "BUILD":
        return list(_building(server))
    if len(server.running) > 1:
        return [_twice(server)]
    if server.moved_by_others:
        return [_moved_by_others(server)]
    found = [*_nowhere(server), *_elsewhere(server), *_status(server)]
    for place in server.places:
        found += _leftover(server, place)
    return found


def _building(server: Whereabouts) -> Iterator[Finding]:
    if server.seen.unchanged_s < BUILDING_S:
        return
    home = server.home
    right = home is not None and home.name == server.server.host and home.state is DomainState.RUNNING
    yield Finding(
        Kind.STUCK_BUILDING,
        Severity.ERROR,
        server.name,
        server.server.host,
        f"It has been BUILD for {server.seen.unchanged_s / 60:.0f} minutes: whoever was making it went away. "
        + ("It runs, so it can be recorded as ACTIVE." if right else "Delete it and make it again."),
        Repair(Remedy.RECORD_STATUS, server.server.id, host=server.server.host, status="ACTIVE")
        if right
        else None,
    )


def _twice(server: Whereabouts) -> Finding:
    where = " and ".join(f"{place.name} ({place.state})" for place in server.running)
    return Finding(
        Kind.RUNS_TWICE,
        Severity.CRITICAL,
        server.name,
        ", ".join(place.name for place in server.running),
        f"It runs on {where} at the same time, and both may write to its disks. Nothing is repaired here: look at "
        "both consoles, decide which one is right, and `virsh destroy` the other one now.",
    )


def _moved_by_others(server: Whereabouts) -> Finding:
    place = next(each for each in server.places if each.domain.job)
    return Finding(
        Kind.MOVED_BY_OTHERS,
        Severity.WARNING,
        server.name,
        place.name,
        f"libvirt on {place.name} is migrating it and Kedge was not asked to. Wait until that has ended"
        " (`virsh domjobinfo`), then let the doctor look again.",
    )


def _nowhere(server: Whereabouts) -> Iterator[Finding]:
    if server.places:
        return
    silent = server.census.silent
    recorded = server.server.host
    if silent or server.recorded is None:
        who = ", ".join(silent) or f"{recorded}, which never reported,"
        yield Finding(
            Kind.WHEREABOUTS_UNKNOWN,
            Severity.WARNING,
            server.name,
            recorded,
            f"It is recorded on {recorded} and was not seen on any host that answers; {who} can't be asked, so it is "
            "not known whether it runs. See to the agents first.",
        )
        return
    yield Finding(
        Kind.DOMAIN_NOWHERE,
        Severity.CRITICAL,
        server.name,
        recorded,
        f"It is recorded on {recorded}, and no host has a domain of it any more. If its disks are there, define and "
        f"start it on {recorded} again; if it is gone for good, `kedge server delete {server.server.name}`.",
    )


def _elsewhere(server: Whereabouts) -> Iterator[Finding]:
    recorded = server.server.host
    if not server.places or any(place.name == recorded and place.state in RUNS for place in server.places):
        return
    place = server.home
    if place is None:
        stopped = [each for each in server.places if each.state in STOPPED]
        if len(server.places) != 1 or not stopped or stopped[0].name == recorded:
            return
        place = stopped[0]
    repair, todo = _bring_home(server, place)
    yield Finding(
        Kind.SERVER_ELSEWHERE,
        Severity.ERROR,
        server.name,
        recorded,
        f"It is recorded on {recorded}, and its domain is on {place.name} ({place.state}). {todo}",
        repair,
    )


def _bring_home(server: Whereabouts, place: Place) -> tuple[Repair | None, str]:
    """How the record comes to where the server is, and what to say of it."""
    recorded = server.server.host
    if place.state not in {DomainState.RUNNING, DomainState.SHUTOFF}:
        return None, "It can be put right once it runs there, or is shut off."
    if server.is_gone(recorded) and place.state is DomainState.RUNNING:
        how = Repair(Remedy.RECORD_HOST, server.server.id, host=place.name)
        return how, f"There is no host {recorded} any more, so its record belongs to {place.name}."
    alive = server.census.host(recorded)
    if place.state is DomainState.SHUTOFF and not (alive and alive.answers):
        return None, f"Whether it runs on {recorded} is not known: see to that first."
    if not server.can_be_settled_with(recorded):
        return None, f"See to {recorded} first, whose agent does not answer."
    return _settle(server, place, recorded), f"Its record and its ports belong to {place.name}."


def _settle(server: Whereabouts, place: Place, other: str) -> Repair:
    """Bring everything to where the server is, and clean the other host.

    The roles are chosen by what `decide` can do: as the source of a migration that is given up, the server's host
    keeps its bindings; as the destination of one that has arrived, it gets them.
    """
    if place.state is DomainState.RUNNING and server.bound_on(place.name):
        return Repair(Remedy.SETTLE, server.server.id, host=place.name, destination=other)
    return Repair(Remedy.SETTLE, server.server.id, host=other, destination=place.name)


def _status(server: Whereabouts) -> Iterator[Finding]:
    status, recorded = server.server.status, server.server.host
    place = server.home or next((each for each in server.places if each.name == recorded), None)
    right = STATUS_OF_DOMAIN.get(place.state) if place is not None else None
    if status == right:
        return
    if status == "MIGRATING":
        yield Finding(
            Kind.STUCK_MIGRATING,
            Severity.ERROR,
            server.name,
            recorded,
            "It is recorded as MIGRATING and no migration of it is under way, so it can't be told from one that moves."
            + (f" Its domain is {place.state} on {place.name}." if place else ""),
            _record(server, right) if right else None,
        )
    elif right is not None and place is not None:
        advice = {
            DomainState.SHUTOFF: " Start it there, or leave it off.",
            DomainState.CRASHED: " See its log on the host (/var/log/libvirt/qemu), then start it again.",
            DomainState.PAUSED: " Somebody or an I/O error paused it: `virsh domstate --reason`, then `virsh resume`.",
        }.get(place.state, "")
        yield Finding(
            Kind.STATUS_DIFFERS,
            Severity.ERROR,
            server.name,
            place.name,
            f"It is recorded as {status}, and its domain on {place.name} is {place.state}.{advice}",
            _record(server, right),
        )


def _record(server: Whereabouts, status: str) -> Repair:
    return Repair(Remedy.RECORD_STATUS, server.server.id, host=server.server.host, status=status)


def _leftover(server: Whereabouts, place: Place) -> Iterator[Finding]:
    """A domain that a migration left on a host where the server is not."""
    if place.state is DomainState.INCOMING:
        yield _half_made(server, place)
    elif place.state in HELD:
        yield _left_paused(server, place)
    elif place.state in STOPPED and len(server.places) > 1:
        yield from _old_definition(server, place)


def _half_made(server: Whereabouts, place: Place) -> Finding:
    home = server.home
    repair = None
    if home is not None and home.state is DomainState.RUNNING:
        bound = server.bound_on(home.name)
        repair = (
            Repair(Remedy.SETTLE, server.server.id, host=home.name, destination=place.name)
            if bound
            else Repair(Remedy.BIND, server.server.id, host=home.name)
        )
    where = (
        f"The VM runs on {home.name}." if home else "Where the VM runs is another finding: see to that first."
    )
    return Finding(
        Kind.HALF_MADE_DOMAIN,
        Severity.WARNING,
        server.name,
        place.name,
        f"{place.name} holds a half-made domain of it that waits for a migration which does not exist. {where}",
        repair,
    )


def _left_paused(server: Whereabouts, place: Place) -> Finding:
    silent = server.census.silent
    home = server.home
    others = server.others(place)
    only_incoming = [each for each in others if each.state is DomainState.INCOMING]
    repair: Repair | None = None
    if home is not None and home.state is DomainState.POSTCOPY_DESTINATION:
        words = (
            f"The VM runs on {home.name} and still needs the memory that is here (post-copy): remove nothing, and"
            " resume that migration (`virsh migrate --postcopy-resume`) if it broke off."
        )
    elif home is not None:
        words = f"The VM has left for {home.name}; what is paused here is its past."
        if home.state is DomainState.RUNNING:
            repair = Repair(Remedy.SETTLE, server.server.id, host=place.name, destination=home.name)
    elif place.state in (DomainState.POSTCOPY_SOURCE, DomainState.POSTCOPY_BROKEN):
        words = (
            "It had gone over to post-copy, so neither side has all of its memory: it must be started anew."
        )
    elif silent:
        words = f"It may run on {', '.join(silent)}, which can't be asked: resumed here, it could run twice."
    elif len(others) > len(only_incoming):
        words = (
            f"{others[0].name} has its definition, so it arrived there and was then shut down: what is paused here"
            " is its past, and must not run again."
        )
    elif len(only_incoming) == 1:
        words = "It runs nowhere else, so it can run on here."
        repair = Repair(Remedy.SETTLE, server.server.id, host=place.name, destination=only_incoming[0].name)
    else:
        words = "It runs nowhere else, so it can run on here."
        repair = Repair(Remedy.RESUME, server.server.id, host=place.name)
    return Finding(
        Kind.LEFT_PAUSED,
        Severity.WARNING if home else Severity.CRITICAL,
        server.name,
        place.name,
        f"Its domain on {place.name} was paused by a migration that does not exist any more. {words}",
        repair,
    )


def _old_definition(server: Whereabouts, place: Place) -> Iterator[Finding]:
    home = server.home
    if home is None and place.name == server.server.host:
        return
    words = "It would be in the way of a migration to there, and could be started by mistake."
    repair = None
    if home is None:
        words += (
            " The server runs nowhere, so look which definition is the newer one, and undefine the other."
        )
    elif home.state is DomainState.RUNNING:
        repair = _settle(server, home, place.name)
    yield Finding(
        Kind.LEFTOVER_DEFINITION,
        Severity.WARNING,
        server.name,
        place.name,
        f"{place.name} still has a definition of it ({place.state})"
        + (f", which runs on {home.name}. " if home else ". ")
        + words,
        repair,
    )
