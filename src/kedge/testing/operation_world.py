"""A small fleet and a drain of it, with everything that may go wrong, for `kedge.testing.explore_operation`."""

from collections.abc import Iterator
from typing import NamedTuple

from kedge.core.operation import Ahead, Decision, Move, Running, Seen, Start, Tried
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.host import Host
from kedge.model.operation import Abort, OperationLimits, Outcome
from kedge.model.placement import Demand

DRAINED = "a"
HOSTS = ("a", "b", "c")
NOON_S, NIGHT_S = 12 * 3600.0, 23 * 3600.0
"""Outside and in the window."""

_GONE = ""


class VM(NamedTuple):
    """A server: where it is, "" once it is deleted, and its migration, if one is under way.

    `pausing`: its migration failed so lately that it is not tried again yet.
    """

    host: str = DRAINED
    to: str = ""
    ours: bool = True
    ending: bool = False
    tried: tuple[str, ...] = ()
    left: bool = False
    pausing: bool = False


class Fleetlet(NamedTuple):
    """The whole world in one moment.

    `seen` is what the conductor has looked at and not acted on yet: it may be out of date when it acts. `faults` is how
    much may still go wrong. `closed`: it is not the time of the operation's window. `behind`: a server of an operation
    of higher priority waits to leave the host. `to`: where servers may go, as in a rebalance; anywhere without.
    """

    vms: tuple[VM, ...]
    dead: frozenset[str] = frozenset()
    in_all: int = 2
    per_destination: int = 1
    max_failures: int = 2
    paused: bool = False
    abort: Abort | None = None
    closed: bool = False
    behind: bool = False
    to: tuple[str, ...] = ()
    faults: int = 2
    seen: "Fleetlet | None" = None
    finished: Outcome | None = None

    def with_vm(self, number: int, vm: VM) -> "Fleetlet":
        """The same with another state of one server."""
        return self._replace(vms=(*self.vms[:number], vm, *self.vms[number + 1 :]))


class Step(NamedTuple):
    """Something that can happen. Nobody counts on a fault for the operation to end."""

    name: str
    after: Fleetlet
    fault: bool = False


def as_seen(w: Fleetlet) -> Seen:
    """What the conductor sees of it."""
    hosts = [HostState(Host(name, alive=name not in w.dead, libvirt_version=9_000_000)) for name in HOSTS]
    there = [(str(number), vm) for number, vm in enumerate(w.vms) if vm.host != _GONE]
    fleet = Fleet(hosts, [PlacedServer(name, name, vm.host, Demand(1 << 30, 1)) for name, vm in there])
    for name, vm in there:
        if vm.to:
            fleet = fleet.promising(name, vm.to)
    now_s = NOON_S if w.closed else NIGHT_S
    return Seen(
        fleet,
        tuple(
            Move(
                str(number),
                DRAINED,
                w.to,
                tuple(Tried(host, "failed", at_s=now_s if vm.pausing else 0.0) for host in vm.tried),
                left="a person aborted it" if vm.left else None,
            )
            for number, vm in enumerate(w.vms)
        ),
        tuple(Running(name, vm.host, vm.to, vm.ours, vm.ending) for name, vm in there if vm.to),
        OperationLimits(
            per_destination=w.per_destination,
            in_all=w.in_all,
            max_failures=w.max_failures,
            window="22:00-05:00",
        ),
        frozenset({DRAINED}),
        w.paused,
        w.abort,
        (Ahead(DRAINED),) if w.behind else (),
        now_s,
    )


def nature(w: Fleetlet) -> Iterator[Step]:
    """What happens by itself, and what a person does in the end."""
    for number, vm in enumerate(w.vms):
        if vm.pausing:
            yield Step(f"the pause of {number} is over", w.with_vm(number, vm._replace(pausing=False)))
        if not vm.to:
            continue
        if vm.ending:
            ended = vm._replace(to="", ending=False, left=vm.left or vm.ours)
            yield Step(f"the migration of {number} is rolled back", w.with_vm(number, ended))
        if vm.to in w.dead:
            yield Step(f"the migration of {number} fails", w.with_vm(number, failed(vm)))
        else:
            arrived = VM(vm.to, tried=vm.tried, left=vm.left)
            yield Step(f"{number} arrives on {vm.to}", w.with_vm(number, arrived))
    if w.paused:
        yield Step("a person resumes", w._replace(paused=False))
    if w.closed:
        yield Step("the window opens", w._replace(closed=False))
    if w.behind:
        yield Step("what came first has left", w._replace(behind=False))


def failed(vm: VM) -> VM:
    """Back from a migration that failed; what others began is not the operation's business."""
    if not vm.ours:
        return vm._replace(to="", ending=False)
    return vm._replace(to="", ending=False, tried=(*vm.tried, vm.to), pausing=True)


def faults(w: Fleetlet) -> Iterator[Step]:
    """What nobody expects."""
    if w.seen is not None:
        yield Step("the conductor dies", w._replace(seen=None), fault=True)
    if not w.faults:
        return
    w = w._replace(faults=w.faults - 1)
    for host in HOSTS[1:]:
        if host not in w.dead:
            yield Step(f"{host} dies", w._replace(dead=w.dead | {host}), fault=True)
    for number, vm in enumerate(w.vms):
        if vm.host == _GONE:
            continue
        if vm.to:
            yield Step(f"the migration of {number} fails", w.with_vm(number, failed(vm)), fault=True)
            if not vm.ending:
                aborted = vm._replace(ending=True, left=vm.ours)
                yield Step(
                    f"a person aborts the migration of {number}", w.with_vm(number, aborted), fault=True
                )
        else:
            yield Step(f"{number} is deleted", w.with_vm(number, VM(_GONE, tried=vm.tried)), fault=True)
            for host in HOSTS:
                if host != vm.host and host not in w.dead:
                    other = vm._replace(to=host, ours=False)
                    yield Step(f"a person moves {number} to {host}", w.with_vm(number, other), fault=True)
    if not w.paused:
        yield Step("a person pauses", w._replace(paused=True), fault=True)
    if w.abort is None:
        for how in Abort:
            yield Step(f"a person aborts: {how}", w._replace(abort=how), fault=True)
    if not w.closed:
        yield Step("the window closes", w._replace(closed=True), fault=True)
    if not w.behind:
        yield Step("something comes first", w._replace(behind=True), fault=True)
    if w.in_all > 1:
        yield Step("a person lowers the limit", w._replace(in_all=1), fault=True)


def acts(w: Fleetlet, seen: Fleetlet, decision: Decision) -> Iterator[Step]:
    """What the conductor does with a decision, whole or, if it dies meanwhile, in part."""
    w = w._replace(seen=None)
    for server_id in decision.end:
        w = _ended(w, int(server_id))
        yield Step(f"abort {server_id}, then the conductor dies", w, fault=True)
    for start in decision.start:
        w = _started(w, seen, start)
        yield Step(f"start {start.server_id} to {start.destination}, then it dies", w, fault=True)
    if decision.outcome is not None and (w.paused, w.abort) == (seen.paused, seen.abort):
        w = w._replace(finished=decision.outcome)
    yield Step(f"act: {decision.start} {decision.end} {decision.outcome or ''}", w)


def _ended(w: Fleetlet, number: int) -> Fleetlet:
    vm = w.vms[number]
    return w.with_vm(number, vm._replace(ending=True)) if vm.to and vm.ours else w


def _started(w: Fleetlet, seen: Fleetlet, start: Start) -> Fleetlet:
    """As the database does it: only if nobody moved the server, and the operation is still to go on."""
    number = int(start.server_id)
    vm = w.vms[number]
    if w.paused or w.abort is not None or vm.to or vm.host != seen.vms[number].host:
        return w
    return w.with_vm(number, vm._replace(to=start.destination, ours=True))
