"""A host with two switches, a rewiring of a server there and everything that may go wrong, for `explore_rewiring`."""

from collections.abc import Iterator
from typing import NamedTuple

from kedge.core.rewiring import MOST_TRIES, Act, Action, Port, Seen, Tap


class Duties(NamedTuple):
    """What the agent was told last: which side the bindings say, and whether a rewiring is under way."""

    committed: bool = False
    staged: bool = False


class Order(NamedTuple):
    """An order to the agent, as it may be on its way for long: move these taps there, or remove that side."""

    move: bool
    ports: tuple[int, ...]
    side: Tap


class Host(NamedTuple):
    """The whole world in one moment.

    `seen` is what the conductor has looked at and not acted on yet. `late` is an order that nobody waits for any more:
    whoever goes on has a newer epoch, so the agent refuses it once it has had another order. `noted`: the agent
    remembers that it had an order since it was told its duties. `stuck`: no tap can be moved, from now on for good.
    `faults` is how much may still go wrong.
    """

    taps: tuple[Tap, ...] = (Tap.OLD, Tap.OLD)
    bound: tuple[bool, ...] = (True, True)
    committed: bool = False
    prepared: bool = False
    left: bool = False
    abort: bool = False
    failure: bool = False
    tries: int = 0
    reachable: bool = True
    gone: bool = False
    stuck: bool = False
    duties: Duties | None = Duties()
    noted: bool = False
    late: Order | None = None
    seen: "Host | None" = None
    faults: int = 3
    finished: Action | None = None

    def with_tap(self, number: int, tap: Tap) -> "Host":
        """The same with one tap elsewhere."""
        return self._replace(taps=(*self.taps[:number], tap, *self.taps[number + 1 :]))

    @property
    def truth(self) -> Tap:
        """The side that the bindings say."""
        return Tap.NEW if self.committed else Tap.OLD


class Step(NamedTuple):
    """Something that can happen. Nobody counts on a fault for the end."""

    name: str
    after: Host
    fault: bool = False


def as_seen(w: Host) -> Seen:
    """What the conductor sees of it."""
    return Seen(
        tuple(
            Port(str(number), tap if w.reachable else Tap.GONE, bound)
            for number, (tap, bound) in enumerate(zip(w.taps, w.bound, strict=True))
        ),
        reachable=w.reachable,
        gone=w.gone,
        committed=w.committed,
        prepared=w.prepared,
        left=w.left,
        abort=w.abort,
        failure="it failed" if w.failure else None,
        tries=w.tries,
    )


def nature(w: Host) -> Iterator[Step]:
    """What happens by itself, and what a person does in the end."""
    if not w.reachable and not w.gone:
        yield Step("the agent answers again", w._replace(reachable=True))
    if not w.reachable:
        return
    told = Duties(w.committed, staged=w.finished is None)
    if w.duties != told or w.noted:
        yield Step("the agent is told its duties", w._replace(duties=told, noted=False))
    if w.duties is not None and not w.noted:
        yield from _mend(w, w.duties)
    if w.late is not None:
        yield Step(f"late: {w.late}", obeyed(w, w.late))


def _mend(w: Host, duties: Duties) -> Iterator[Step]:
    """The agent's own care: as long as a VIF is wired as one of both says, it is left alone."""
    truth = Tap.NEW if duties.committed else Tap.OLD
    for number, tap in enumerate(w.taps if not w.stuck else ()):
        if w.bound[number] and (tap is Tap.NOWHERE or (not duties.staged and tap not in (truth, Tap.GONE))):
            yield Step(f"the agent mends {number}", w.with_tap(number, truth))


def faults(w: Host) -> Iterator[Step]:
    """What nobody expects."""
    if w.seen is not None:
        yield Step("the conductor dies", w._replace(seen=None), fault=True)
    if not w.faults or w.finished is not None:
        return
    w = w._replace(faults=w.faults - 1)
    if w.reachable:
        yield Step("the agent dies", w._replace(reachable=False, duties=None, noted=False), fault=True)
    elif not w.gone:
        yield Step("a person says that the host is off", w._replace(gone=True, late=None), fault=True)
    if not w.abort and not w.committed:
        yield Step("a person aborts", w._replace(abort=True), fault=True)
    for number, tap in enumerate(w.taps):
        if tap in (Tap.OLD, Tap.NEW):
            yield Step(
                f"a person takes {number} out of its switch", w.with_tap(number, Tap.NOWHERE), fault=True
            )
        if tap is not Tap.GONE:
            yield Step(f"the tap of {number} goes", w.with_tap(number, Tap.GONE), fault=True)
    if not w.stuck:
        yield Step("no tap can be moved any more", w._replace(stuck=True), fault=True)
    if w.bound[0]:
        yield Step("a person binds 0 elsewhere", w._replace(bound=(False, *w.bound[1:])), fault=True)


def obeyed(w: Host, order: Order) -> Host:
    """The agent carries an order out."""
    w = w._replace(late=None, noted=True)
    for number in order.ports if order.move and not w.stuck else ():
        if w.taps[number] is not Tap.GONE:
            w = w.with_tap(number, order.side)
    return w


def acts(w: Host, action: Action) -> Iterator[Step]:
    """What the conductor does with a decision, whole or in part, with its answer or without."""
    w = w._replace(seen=None)
    ports = tuple(int(each) for each in action.ports)
    match action.act:
        case Act.WAIT:
            yield Step("wait", w)
        case Act.GIVE_UP:
            yield Step("give up", w if w.committed else w._replace(failure=True))
        case Act.COMMIT:
            wanted = all(w.bound) and not w.abort and not w.failure
            yield Step("commit", w._replace(committed=True) if wanted else w)
        case Act.FINISH:
            yield Step("finish", w._replace(finished=action))
        case Act.PREPARE:
            yield from _ordered(w, Order(True, (), Tap.NEW), w._replace(prepared=True))
        case Act.MOVE | Act.MOVE_BACK:
            side = Tap.NEW if action.act is Act.MOVE else Tap.OLD
            yield from _ordered(w, Order(True, ports, side), w)
        case Act.LEAVE_OLD | Act.LEAVE_NEW:
            side = Tap.OLD if action.act is Act.LEAVE_OLD else Tap.NEW
            yield from _left(w, Order(False, ports, side))


def _left(w: Host, order: Order) -> Iterator[Step]:
    """As `_ordered`; the agent does not remove a side that a tap is in."""
    if any(w.taps[number] is order.side for number in order.ports):
        yield Step(f"{order} is refused", _refused(w))
    else:
        yield from _ordered(w, order, w._replace(left=True))


def _ordered(w: Host, order: Order, answered: Host) -> Iterator[Step]:
    if not w.reachable:
        yield Step("the agent does not answer", w)
        return
    done = obeyed(w, order)
    if w.stuck and order.move:
        yield Step(f"{order}, which can't be", _refused(w._replace(late=None)))
        return
    if any(w.taps[number] is Tap.GONE for number in order.ports) and order.move:
        yield Step(f"{order}, which can't be", _refused(done))
    else:
        yield Step(f"{order}", answered._replace(taps=done.taps, late=None, noted=True))
    if not w.faults:
        return
    spent = w._replace(faults=w.faults - 1)
    yield Step(f"{order}, its answer lost", obeyed(spent, order), fault=True)
    yield Step(f"{order}, on its way for long", spent._replace(late=order), fault=True)
    yield Step(f"{order} fails", _refused(spent), fault=True)
    if order.move and order.ports and w.taps[order.ports[0]] is not Tap.GONE:
        half_way = spent.with_tap(order.ports[0], Tap.NOWHERE)
        yield Step(f"{order} fails half-way", _refused(half_way), fault=True)


def _refused(w: Host) -> Host:
    """An agent's answer that it could not: given up before there is only one way to go, counted after."""
    if w.committed or w.abort or w.failure:
        return w._replace(tries=min(w.tries + 1, MOST_TRIES), noted=True)
    return w._replace(failure=True, noted=True)
