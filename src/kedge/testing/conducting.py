"""What conductors do in a `World`, with the real `decide()`.

The two hosts are looked at one after the other and acted upon later still, so every decision may rest on views that
are out of date. An agent's picture of its VIFs, which it draws from events, may lag behind them besides. For the
domain and its job it asks libvirt anew at each look: `World.may_lag_whole` shows what came of a picture of those.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from kedge.core.migration import Act, Action, Intent, Observation, Role, Side

from .invariants import check_action, check_decision
from .world import B, D, P, Step, T, World, ended, shown

Decide = Callable[[Observation], Action]


def look_at_source(w: World) -> Side:
    """The source as it is now; its binding is read later, with the destination's, from the database."""
    if not w.source_up:
        gone = w.gone and w.burnt is Role.SOURCE
        return Side(reachable=False, dead=w.source_dead or gone, gone=gone)
    if w.lag is not None and w.lag[0] is Role.SOURCE and isinstance(w.lag[1], Side):
        return w.lag[1]
    plugged = P.NONE if w.portless else shown(w, Role.SOURCE)
    return Side(domain=w.source, job=w.job, transfer=w.memory, plugged=plugged)


def _look_at_destination(w: World) -> Side:
    if not w.destination_up:
        gone = w.gone and w.burnt is Role.DESTINATION
        return Side(reachable=False, dead=w.destination_dead or gone, gone=gone)
    if w.lag is not None and w.lag[0] is Role.DESTINATION and isinstance(w.lag[1], Side):
        return w.lag[1]
    plugged = P.NONE if w.portless else shown(w, Role.DESTINATION)
    return Side(domain=w.destination, job=w.job and w.destination is not D.ABSENT, plugged=plugged)


def wholly_lagging(w: World) -> Iterator[tuple[str, World]]:
    """From now on an agent shows all of its side as it is now, until it looks again."""
    if w.lag is None and w.source_up:
        yield "the source's picture stands still", w._replace(lag=(Role.SOURCE, look_at_source(w)))
    if w.lag is None and w.destination_up:
        side = _look_at_destination(w)
        yield "the destination's picture stands still", w._replace(lag=(Role.DESTINATION, side))


def look_at_the_rest(w: World, source: Side) -> Observation:
    """The destination, the database's bindings, and the intent."""
    destination = replace(_look_at_destination(w), binding=w.destination_binding, portless=w.portless)
    intent = Intent(
        abort=w.abort,
        failure="given up" if w.failure else None,
        orders=w.orders,
        announced=w.announced,
        overdue="the time is up" if w.overdue else None,
        unwired=w.unwired,
    )
    return Observation(replace(source, binding=w.source_binding, portless=w.portless), destination, intent)


def conductor(w: World, decide: Decide) -> Iterator[Step]:
    """The next step of whoever drives the migration. Raises Violation when that must not be."""
    if w.seen is not None:
        action = decide(w.seen)
        check_decision(w.seen, action)
        yield from _act(w._replace(looked=None, seen=None), action)
    elif w.looked is not None:
        yield Step("look at the rest", w._replace(looked=None, seen=look_at_the_rest(w, w.looked)))
    else:
        yield Step("look at the source", w._replace(looked=look_at_source(w)))


def _act(w: World, action: Action) -> Iterator[Step]:
    name = f"{action.act} {action.role or ''}".strip()
    check_action(w, action)
    done = _effect(w, action)
    yield Step(name, done)
    if w.faults and action.act not in {Act.WAIT, Act.FINISH, Act.GIVE_UP}:
        yield from _unseen(name, w, done)
        spent = w._replace(faults=w.faults - 1)
        for how, world in _half_done(spent, action):
            yield Step(f"{name} ({how})", world, fault=True)
            yield from _unseen(f"{name} ({how})", spent, world)


def _unseen(name: str, before: World, after: World) -> Iterator[Step]:
    """What an order has changed of VIFs is not in the agent's picture yet."""
    for role in Role:
        was, is_now = shown(before, role), shown(after, role)
        if was is not is_now and before.faults:
            lags = after._replace(lag=(role, was), faults=before.faults - 1)
            yield Step(f"{name} (not seen yet)", lags, fault=True)


def _half_done(w: World, action: Action) -> Iterator[tuple[str, World]]:
    match action.act:
        case Act.BIND:
            yield "one port only", w if w.portless else w._replace(destination_binding=B.SOME)
            yield "refused", w._replace(failure=True)
        case Act.PLUG if action.role is Role.SOURCE and w.source_up:
            yield "can't", w._replace(unwired=True)
            yield "half done, answer lost", w  # it had lost some only
        case Act.PLUG if action.role is Role.DESTINATION and w.destination_up:
            yield (
                "half done, answer lost",
                w if w.destination_plug is P.ALL else w._replace(destination_plug=P.SOME),
            )
            yield "one VIF fails", w._replace(destination_plug=P.SOME, failure=True)
        case Act.UNPLUG if action.role is Role.SOURCE and w.source_up:
            yield "half done, answer lost", w if w.source_plug is P.NONE else w._replace(source_plug=P.SOME)
        case Act.UNPLUG if action.role is Role.DESTINATION and w.destination_up:
            yield "half done, answer lost", _half_unplugged(w)
        case Act.UNBIND if action.unplug and w.destination_up:
            yield "half unplugged, answer lost", _half_unplugged(w)
            yield "unplugged and not unbound", w._replace(destination_plug=P.NONE)
        case Act.TRANSFER:
            yield "lost on the way", w._replace(orders=w.orders + 1)
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
                return w._replace(destination_binding=B.INACTIVE)
        case Act.PLUG if reached:
            return w._replace(source_plug=P.ALL) if source else w._replace(destination_plug=P.ALL)
        case Act.TRANSFER if w.portless:
            return w._replace(failure=True)  # the domain has NICs that no port explains
        case Act.TRANSFER:
            return _order_transfer(w._replace(orders=w.orders + 1))
        case Act.RECOVER if reached and w.source is D.POSTCOPY_BROKEN and w.burnt is None:
            return w._replace(source=D.POSTCOPY_SOURCE, memory=T.RUNNING)
        case Act.ABORT_TRANSFER if reached and not w.over:
            if w.job and w.source is D.RUNNING:
                return w._replace(job=False, destination=D.ABSENT, memory=ended(w, T.FAILED))
            if not w.job and w.memory is T.RUNNING:
                return w._replace(memory=T.FAILED)
        case Act.ACTIVATE if source and w.source_binding is B.INACTIVE:
            other = B.INACTIVE if w.destination_binding is B.ACTIVE else w.destination_binding
            return w._replace(source_binding=B.ACTIVE, destination_binding=other)
        case Act.ACTIVATE if not source and w.destination_binding is B.INACTIVE:
            other = B.INACTIVE if w.source_binding is B.ACTIVE else w.source_binding
            return w._replace(source_binding=other, destination_binding=B.ACTIVE)
        case Act.ANNOUNCE if reached:
            return w._replace(announced=True)
        case Act.RESUME if reached and w.source is D.SWITCHOVER and not w.job:
            return w._replace(source=D.RUNNING)
        case Act.DISCARD if reached:
            if source and w.source in action.only_in:
                return w._replace(source=D.ABSENT, twice=False)
            if not source and w.destination in action.only_in:
                return w._replace(destination=D.ABSENT)
        case Act.UNPLUG if reached:
            return w._replace(source_plug=P.NONE) if source else w._replace(destination_plug=P.NONE)
        case Act.UNBIND if not action.unplug or reached:
            if action.unplug:
                w = w._replace(destination_plug=P.NONE)
            if source and w.source_binding is not B.ACTIVE:
                return w._replace(source_binding=B.NONE)
            if not source and w.destination_binding is not B.ACTIVE:
                return w._replace(destination_binding=B.NONE)
        case Act.GIVE_UP:
            return w._replace(failure=True)
        case Act.FINISH:
            return w._replace(finished=action.outcome)
    return w


def _half_unplugged(w: World) -> World:
    return w if w.destination_plug is P.NONE else w._replace(destination_plug=P.SOME)


def _order_transfer(w: World) -> World:
    if not w.source_up or w.job or w.memory is T.RUNNING or w.source is not D.RUNNING:
        return w
    return w._replace(memory=T.RUNNING)
