"""A small model of everything that a migration touches: two hosts, libvirt, agents, bindings, conductors.

A `World` is one state. `steps(world)` are the states that can follow: what libvirt and the guest do
by themselves, what goes wrong, and what conductors do with the real `decide()`. The two hosts are looked
at one after the other and acted upon later still, so every decision may rest on views that are out of date.

The invariants of `kedge.core.migration.decide` are checked at each action against the world as it *is*,
not as it was seen; `Violation` says which one broke.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from kedge.core.migration import (
    Act,
    Action,
    BindingView,
    Intent,
    Observation,
    Outcome,
    Plugged,
    Role,
    Side,
    decide,
)
from kedge.model.domain import DomainState, TransferState

D, T, B, P = DomainState, TransferState, BindingView, Plugged

RUNS = {D.RUNNING, D.POSTCOPY_DESTINATION}
OVER = {D.POSTCOPY_SOURCE, D.POSTCOPY_BROKEN}
LEFT = {D.SWITCHOVER, *OVER, D.ABSENT, D.SHUTOFF}

Decide = Callable[[Observation], Action]


class Violation(AssertionError):
    """An invariant does not hold."""


@dataclass(frozen=True, slots=True)
class World:
    """One state of the whole. `faults` is how many more things may go wrong."""

    source: DomainState = D.RUNNING
    destination: DomainState = D.ABSENT
    job: bool = False
    memory: TransferState = T.NONE  # what the source's agent remembers of the transfer
    source_binding: BindingView = B.ACTIVE
    destination_binding: BindingView = B.NONE
    source_plug: Plugged = P.ALL
    destination_plug: Plugged = P.NONE
    source_up: bool = True
    destination_up: bool = True
    source_dead: bool = False  # its agent has been silent for too long
    destination_dead: bool = False
    source_lost: bool = False  # … and counted as dead at some time: its own agent cleans up later
    destination_lost: bool = False
    handed_over: bool = False  # the source was paused for this migration, at least once
    over: bool = False  # post-copy has switched
    abort: bool = False
    overdue: bool = False
    failure: bool = False
    orders: int = 0
    announced: bool = False
    unwired: bool = False  # the source could not wire the VM that stays there, and that is written down
    portless: bool = False  # somebody deleted the server's ports
    may_burn: bool = False  # whether a host may be lost for good
    burnt: Role | None = None  # this one is
    gone: bool = False  # … and an operator has said so
    finished: Outcome | None = None
    looked: Side | None = None  # the conductor has looked at the source and not yet at the rest
    seen: Observation | None = None  # … has looked at everything and is about to act
    faults: int = 2


class Step(NamedTuple):
    """A move from one state to the next; `fault` ones stop when faults stop."""

    name: str
    world: World
    fault: bool = False


def steps(w: World, decide: Decide = decide, *, postcopy: bool = True) -> Iterator[Step]:
    """Everything that can happen next. Raises Violation when the conductor does what it must not."""
    yield from _nature(w, postcopy)
    if w.faults:
        spent = replace(w, faults=w.faults - 1)
        yield from (Step(name, world, fault=True) for name, world in _faults(spent))
    if w.finished is None:
        if not w.abort:
            yield Step("a person asks to abort", replace(w, abort=True), fault=True)
        if not w.overdue and w.faults:
            late = replace(w, overdue=True, faults=w.faults - 1)
            yield Step("the time of the migration is up", late, fault=True)
        yield from _conductor(w, decide)


# --- what libvirt, the guest and agents do by themselves ---------------------------------------------


def _nature(w: World, postcopy: bool) -> Iterator[Step]:
    if w.burnt is not None and not w.gone:
        yield Step("an operator says that the host is gone", replace(w, gone=True))
    if not w.source_up:
        if w.burnt is not Role.SOURCE:
            yield Step("source agent is back", replace(w, source_up=True, source_dead=False))
        if not w.source_dead:
            yield Step(
                "source agent counts as dead", replace(w, source_dead=True, source_lost=True), fault=True
            )
    if not w.destination_up:
        if w.burnt is not Role.DESTINATION:
            yield Step("destination agent is back", replace(w, destination_up=True, destination_dead=False))
        if not w.destination_dead:
            yield Step(
                "destination agent counts as dead",
                replace(w, destination_dead=True, destination_lost=True),
                fault=True,
            )
    if w.memory is T.RUNNING and not w.job and w.source is D.RUNNING and w.destination is D.ABSENT:
        if w.burnt is None:
            yield Step("libvirt prepares", replace(w, job=True, destination=D.INCOMING))
        else:
            yield Step("libvirt does not reach the destination", replace(w, memory=T.FAILED))
    if not w.job:
        if w.destination is D.INCOMING:
            yield Step("libvirt drops the incoming domain", replace(w, destination=D.ABSENT))
        return
    if w.source is D.RUNNING and w.destination is D.INCOMING:
        yield Step("converged: source paused", replace(w, source=D.SWITCHOVER, handed_over=True))
        if postcopy:
            yield Step(
                "switch to post-copy",
                replace(
                    w,
                    source=D.POSTCOPY_SOURCE,
                    destination=D.POSTCOPY_DESTINATION,
                    handed_over=True,
                    over=True,
                ),
            )
    elif w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield Step("destination runs", replace(w, destination=D.RUNNING))
    elif w.destination is D.POSTCOPY_DESTINATION and w.source is not D.POSTCOPY_BROKEN:
        yield Step("post-copy has everything", replace(w, destination=D.RUNNING))
    elif w.destination in {D.RUNNING, D.SHUTOFF}:
        yield Step("libvirt confirms", replace(w, source=D.ABSENT, job=False, memory=_ended(w, T.SUCCEEDED)))


def _ended(w: World, state: TransferState) -> TransferState:
    """The agent hears how the transfer ended, if it is the process that started it."""
    return state if w.memory is T.RUNNING else w.memory


# --- what goes wrong ----------------------------------------------------------------------------------


def _faults(w: World) -> Iterator[tuple[str, World]]:
    failed = _ended(w, T.FAILED)
    if w.memory is T.RUNNING and not w.job:
        yield "libvirt refuses the migration", replace(w, memory=T.FAILED)
    if w.job and w.destination is D.INCOMING:
        yield (
            "the transfer breaks off",
            replace(w, source=D.RUNNING, destination=D.ABSENT, job=False, memory=failed),
        )
    if w.job and not w.over:
        yield "source libvirtd restarts", replace(w, job=False, memory=failed)
    if not w.job and w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield "the finish that was on its way arrives", replace(w, destination=D.RUNNING)
    if w.source is D.POSTCOPY_SOURCE and w.destination is D.POSTCOPY_DESTINATION:
        yield "post-copy breaks off", replace(w, source=D.POSTCOPY_BROKEN, memory=failed)
    if w.source is D.RUNNING:
        gone = D.ABSENT if w.destination is D.INCOMING else w.destination
        yield (
            "the VM is shut down on the source",
            replace(w, source=D.SHUTOFF, destination=gone, job=False, memory=failed),
        )
    if w.destination is D.RUNNING:
        yield "the VM is shut down on the destination", replace(w, destination=D.SHUTOFF)
    if w.source is D.RUNNING and w.source_plug is P.ALL and not (w.looked or w.seen):
        # What is lost after the last look at it is lost after the migration's end, and the agent's to mend.
        yield "a VIF is lost on the source", replace(w, source_plug=P.SOME)
    if not w.portless:
        yield (
            "the ports are deleted",
            replace(w, portless=True, source_binding=B.NONE, destination_binding=B.NONE),
        )
    if w.may_burn and w.burnt is None:
        yield from _burns(w, failed)
    if w.burnt is Role.SOURCE and w.handed_over and not w.over and w.destination is D.INCOMING:
        yield "the finish that was on its way arrives", replace(w, destination=D.RUNNING)
    if w.source_up:
        yield "source agent dies", replace(w, source_up=False, memory=T.NONE)
    if w.destination_up:
        yield "destination agent dies", replace(w, destination_up=False)
    if w.looked or w.seen:
        yield "the conductor dies", replace(w, looked=None, seen=None)


def _burns(w: World, failed: TransferState) -> Iterator[tuple[str, World]]:
    """A host is lost for good; what libvirt on the other one makes of that is up to it."""
    yield (
        "the source burns",
        replace(
            w,
            burnt=Role.SOURCE,
            source=D.ABSENT,
            source_up=False,
            source_lost=True,
            job=False,
            memory=T.NONE,
        ),
    )
    left = replace(
        w,
        burnt=Role.DESTINATION,
        destination=D.ABSENT,
        destination_up=False,
        destination_lost=True,
        job=False,
        memory=failed if w.job else w.memory,
    )
    broken = w.source is D.POSTCOPY_SOURCE
    yield "the destination burns", replace(left, source=D.POSTCOPY_BROKEN) if broken else left
    if w.job and w.source is D.SWITCHOVER and w.destination is D.INCOMING:
        yield "the destination burns, and libvirt goes on here", replace(left, source=D.RUNNING)


# --- what the conductor does --------------------------------------------------------------------------


def look_at_source(w: World) -> Side:
    """The source as it is now; its binding is read later, with the destination's, from the database."""
    if not w.source_up:
        gone = w.gone and w.burnt is Role.SOURCE
        return Side(reachable=False, dead=w.source_dead or gone, gone=gone)
    plugged = P.NONE if w.portless else w.source_plug
    return Side(domain=w.source, job=w.job, transfer=w.memory, plugged=plugged)


def look_at_the_rest(w: World, source: Side) -> Observation:
    """The destination, the database's bindings, and the intent."""
    gone = w.gone and w.burnt is Role.DESTINATION
    destination = (
        Side(
            domain=w.destination,
            job=w.job and w.destination is not D.ABSENT,
            plugged=P.NONE if w.portless else w.destination_plug,
            binding=w.destination_binding,
            portless=w.portless,
        )
        if w.destination_up
        else Side(
            reachable=False,
            dead=w.destination_dead or gone,
            gone=gone,
            binding=w.destination_binding,
            portless=w.portless,
        )
    )
    intent = Intent(
        abort=w.abort,
        failure="given up" if w.failure else None,
        orders=w.orders,
        announced=w.announced,
        overdue="the time is up" if w.overdue else None,
        unwired=w.unwired,
    )
    return Observation(replace(source, binding=w.source_binding, portless=w.portless), destination, intent)


def _conductor(w: World, decide: Decide) -> Iterator[Step]:
    if w.seen is not None:
        action = decide(w.seen)
        if action.act is Act.RESUME and w.seen.destination.gone:
            raise Violation("7: resumed on the source although the VM may have run on a host that is gone")
        yield from _act(replace(w, looked=None, seen=None), action)
    elif w.looked is not None:
        yield Step("look at the rest", replace(w, looked=None, seen=look_at_the_rest(w, w.looked)))
    else:
        yield Step("look at the source", replace(w, looked=look_at_source(w)))


def _act(w: World, action: Action) -> Iterator[Step]:
    name = f"{action.act} {action.role or ''}".strip()
    _check_action(w, action)
    done = _effect(w, action)
    yield Step(name, done)
    if w.faults and action.act not in {Act.WAIT, Act.FINISH, Act.GIVE_UP}:
        spent = replace(w, faults=w.faults - 1)
        for how, world in _half_done(spent, action):
            yield Step(f"{name} ({how})", world, fault=True)


def _half_done(w: World, action: Action) -> Iterator[tuple[str, World]]:
    match action.act:
        case Act.BIND:
            yield "one port only", w if w.portless else replace(w, destination_binding=B.SOME)
            yield "refused", replace(w, failure=True)
        case Act.PLUG if action.role is Role.SOURCE and w.source_up:
            yield "can't", replace(w, unwired=True)
        case Act.PLUG if action.role is Role.DESTINATION and w.destination_up:
            yield "one VIF only", replace(w, destination_plug=P.SOME)
        case Act.UNPLUG if action.role is Role.SOURCE and w.source_up:
            yield "one VIF only", replace(w, source_plug=P.SOME)
        case Act.TRANSFER:
            yield "lost on the way", replace(w, orders=w.orders + 1)
        case Act.ANNOUNCE:
            yield "answer lost", w
        case _:
            yield "lost on the way", w


def _effect(w: World, action: Action) -> World:
    source = action.role is Role.SOURCE
    reached = w.source_up if source else w.destination_up
    match action.act:
        case Act.BIND:
            if w.destination_binding in {B.NONE, B.SOME} and not w.portless:
                return replace(w, destination_binding=B.INACTIVE)
        case Act.PLUG if reached:
            return replace(w, source_plug=P.ALL) if source else replace(w, destination_plug=P.ALL)
        case Act.TRANSFER if w.portless:
            return replace(w, failure=True)  # the domain has NICs that no port explains
        case Act.TRANSFER:
            return _order_transfer(replace(w, orders=w.orders + 1))
        case Act.RECOVER if reached and w.source is D.POSTCOPY_BROKEN and w.burnt is None:
            return replace(w, source=D.POSTCOPY_SOURCE, memory=T.RUNNING)
        case Act.ABORT_TRANSFER if reached and not w.over:
            if w.job and w.source is D.RUNNING:
                return replace(w, job=False, destination=D.ABSENT, memory=_ended(w, T.FAILED))
            if not w.job and w.memory is T.RUNNING:
                return replace(w, memory=T.FAILED)
        case Act.ACTIVATE if source and w.source_binding is B.INACTIVE:
            other = B.INACTIVE if w.destination_binding is B.ACTIVE else w.destination_binding
            return replace(w, source_binding=B.ACTIVE, destination_binding=other)
        case Act.ACTIVATE if not source and w.destination_binding is B.INACTIVE:
            other = B.INACTIVE if w.source_binding is B.ACTIVE else w.source_binding
            return replace(w, source_binding=other, destination_binding=B.ACTIVE)
        case Act.ANNOUNCE if reached:
            return replace(w, announced=True)
        case Act.RESUME if reached and w.source is D.SWITCHOVER and not w.job:
            return replace(w, source=D.RUNNING)
        case Act.DISCARD if reached:
            if source and w.source in action.only_in:
                return replace(w, source=D.ABSENT)
            if not source and w.destination in action.only_in:
                return replace(w, destination=D.ABSENT)
        case Act.UNPLUG if reached:
            return replace(w, source_plug=P.NONE) if source else replace(w, destination_plug=P.NONE)
        case Act.UNBIND:
            if source and w.source_binding is not B.ACTIVE:
                return replace(w, source_binding=B.NONE)
            if not source and w.destination_binding is not B.ACTIVE:
                return replace(w, destination_binding=B.NONE)
        case Act.GIVE_UP:
            return replace(w, failure=True)
        case Act.FINISH:
            return replace(w, finished=action.outcome)
    return w


def _order_transfer(w: World) -> World:
    if not w.source_up or w.job or w.memory is T.RUNNING or w.source is not D.RUNNING:
        return w
    return replace(w, memory=T.RUNNING)


# --- the invariants -----------------------------------------------------------------------------------


def check_state(w: World) -> None:
    """What must hold in every state."""
    active = [w.source_binding, w.destination_binding].count(B.ACTIVE)
    if active != (0 if w.portless else 1):
        raise Violation(f"1: {active} ACTIVE bindings")
    if w.source in RUNS and w.destination in RUNS:
        raise Violation("the VM runs twice")
    if w.finished is not None:
        _check_end(w)


def _check_action(w: World, action: Action) -> None:
    act, source = action.act, action.role is Role.SOURCE
    if act is Act.ACTIVATE and not source and not (w.handed_over or w.source in LEFT):
        raise Violation("2: destination activated while the VM had never left the source")
    if act is Act.ACTIVATE and source and w.destination in RUNS:
        raise Violation("2: source activated while the VM runs on the destination")
    if act in {Act.UNPLUG, Act.UNBIND, Act.DISCARD}:
        _check_removal(w, action)
    ready = w.destination_plug is P.ALL and w.destination_binding is B.INACTIVE
    if act is Act.TRANSFER and not (ready or w.portless):
        raise Violation("transfer ordered before the destination was bound and wired")
    if act is Act.RESUME and (w.destination in RUNS | {D.SHUTOFF} or w.over):
        raise Violation("resumed on the source although the VM has run on the destination")
    # An abort that comes late is refused by the agent, which looks at the job before it aborts.
    rolls_back = act is Act.RESUME or (act is Act.ACTIVATE and source)
    if w.over and rolls_back and w.destination in RUNS:
        raise Violation("6: rolled back after the switch to post-copy")


def _check_removal(w: World, action: Action) -> None:
    # What had arrived on a host before that burnt has left the source all the same.
    arrived = w.destination in RUNS | {D.SHUTOFF} or w.burnt is Role.DESTINATION
    if action.role is Role.SOURCE:
        domain, lost = w.source, w.source_lost
        busy = {D.RUNNING, D.SWITCHOVER, *OVER}
    else:
        domain, lost = w.destination, w.destination_lost
        busy = {D.RUNNING, D.POSTCOPY_DESTINATION} | ({D.INCOMING} if w.job else set())
    if action.act is Act.DISCARD:
        # The agent itself refuses unless the domain is in one of these states at that moment.
        if domain in action.only_in and domain in busy - {D.SWITCHOVER, *OVER}:
            raise Violation(f"3: {action.role} domain discarded while it is {domain}")
        if domain in action.only_in and domain in busy and not arrived:
            raise Violation("the only copy of the VM was discarded")
        return
    if domain in busy and not (lost and arrived and action.role is Role.SOURCE):
        raise Violation(f"3: {action.act} on the {action.role} while its domain is {domain}")


def _check_end(w: World) -> None:
    """A host that counted as dead may hold leftovers: its own agent removes them when it is back.

    So do the agents with what deleted ports leave plugged.
    """
    if w.finished is Outcome.LOST:
        _check_lost(w)
        return
    if w.finished is Outcome.COMPLETED:
        there = w.destination in RUNS | {D.SHUTOFF} or w.burnt is Role.DESTINATION
        settled = (w.portless or w.destination_binding is B.ACTIVE) and there
        unbound = w.source_binding is B.NONE
        clean = w.source_lost or ((w.portless or w.source_plug is P.NONE) and w.source is D.ABSENT)
    else:
        here = w.source in {D.RUNNING, D.SHUTOFF} or w.burnt is Role.SOURCE
        settled = (w.portless or w.source_binding is B.ACTIVE) and here
        unbound = w.destination_binding is B.NONE
        clean = w.destination_lost or (
            (w.portless or w.destination_plug is P.NONE) and w.destination is D.ABSENT
        )
        known = w.source_plug is P.ALL or w.unwired or w.portless or w.source_lost
        if w.source is D.RUNNING and not known:
            raise Violation(f"4: ended {w.finished}, and it is not said that the source is not wired")
    if not settled:
        raise Violation(f"4: ended {w.finished} and the VM and its ACTIVE binding are not together")
    if not (unbound and clean):
        raise Violation(f"4: ended {w.finished} with something left behind")


def _check_lost(w: World) -> None:
    """A half of the VM, or its past, may stand still where an operator finds it; no whole one runs."""
    half = w.destination is D.POSTCOPY_DESTINATION and w.burnt is Role.SOURCE
    if not w.gone or w.source is D.RUNNING or (w.destination in RUNS and not half):
        raise Violation("7: the VM is called lost and is not")
    others = {w.source_binding, w.destination_binding} - {B.ACTIVE}
    if others != {B.NONE}:
        raise Violation("4: the VM is lost and a binding is left behind")
