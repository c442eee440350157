"""Two hosts that change their backend beside a third, for `kedge.testing.explore_transition`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from kedge.core.operation import Decision, Running, Seen, Tried
from kedge.core.operation.host_seen import Act, Advance, HostSeen, ServerWired, Wired
from kedge.core.operation.stages import moves
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.host import Host, HostBackend
from kedge.model.operation import Abort, OperationLimits, Outcome
from kedge.model.placement import Demand, HostSettings
from kedge.model.transition import CommandRun, CommandState, Stage, Transition

OLD, NEW, OTHER = "linuxbridge", "openvswitch", "macvtap"
SPARE = "c"
AT_ONCE = 1
"""So many servers of a host are rewired at once."""
GONE = ""


class VM(NamedTuple):
    """A server: its home, where it is, "" once it is deleted, and its migration, if one is under way.

    On a host that is changed in place, `wired` says how its ports are, `bound` how they are to be
    where it goes, and `mine` whether its rewiring is the operation's.
    """

    home: str
    host: str
    to: str = ""
    ours: bool = True
    tried: tuple[str, ...] = ()
    wired: Wired = Wired.OLD
    bound: Wired = Wired.OLD
    mine: bool = True


class Place(NamedTuple):
    """A host of the transition, as the database has it, and what is true on it.

    Attributes:
        backend: what its agent reports.
        orphan: whoever ran its command has died, so how that ends will not be known.
        ran: how often its command was run since a person looked at it.
        tried: a port was tried there, and the host went on to take its servers back, or to rewire them.
        in_place: its servers stay, and the new backend comes beside the old one.
        silent: its agent does not say which servers run.
    """

    name: str
    stage: Stage = Stage.QUEUED
    trouble: bool = False
    disabled: bool = False
    backend: str = OLD
    command: CommandState | None = None
    orphan: bool = False
    ran: int = 0
    tried: bool = False
    in_place: bool = False
    silent: bool = False


class Conversion(NamedTuple):
    """The whole world in one moment. `seen` is what the conductor has looked at and not acted on yet."""

    vms: tuple[VM, ...] = (VM("a", "a"), VM("b", "b"))
    places: tuple[Place, ...] = (Place("a"), Place("b"))
    run: bool = True
    at_once: int = 1
    troubled: int = 0
    paused: bool = False
    abort: Abort | None = None
    faults: int = 1
    seen: "Conversion | None" = None
    finished: Outcome | None = None

    def with_vm(self, number: int, vm: VM) -> "Conversion":
        """The same with another state of one server."""
        return self._replace(vms=(*self.vms[:number], vm, *self.vms[number + 1 :]))

    def with_place(self, name: str, **changes: object) -> "Conversion":
        """The same with another state of one host."""
        return self._replace(
            places=tuple(
                each._replace(**changes) if each.name == name else each  # type: ignore[arg-type]
                for each in self.places
            )
        )

    def place(self, name: str) -> Place:
        """A host of the transition."""
        return next(each for each in self.places if each.name == name)


class Step(NamedTuple):
    """Something that can happen. Nobody counts on a fault for the operation to end."""

    name: str
    after: Conversion
    fault: bool = False


class View(NamedTuple):
    """What the conductor decides from."""

    wanted: Transition
    hosts: tuple[HostSeen, ...]
    homes: dict[str, str]
    seen: Seen


def as_seen(w: Conversion) -> View:
    """What the conductor sees of it."""
    wanted = Transition(tuple(each.name for each in w.places), NEW, run="convert" if w.run else "")
    hosts = tuple(_host_seen(each, w.vms) for each in w.places)
    disabled = {each.name: HostSettings(disabled="it changes") for each in w.places if each.disabled}
    states = [HostState(each.host, disabled.get(each.name, HostSettings())) for each in hosts]
    states.append(HostState(_host(SPARE, OLD)))
    there = [(str(number), vm) for number, vm in enumerate(w.vms) if vm.host != GONE]
    fleet = Fleet(states, [PlacedServer(name, name, vm.host, Demand(1 << 30, 1)) for name, vm in there])
    for name, vm in there:
        if vm.to:
            fleet = fleet.promising(name, vm.to)
    homes = {name: vm.home for name, vm in there}
    tried = {name: tuple(Tried(host, "failed") for host in vm.tried) for name, vm in there}
    return View(
        wanted,
        hosts,
        homes,
        Seen(
            fleet,
            tuple(replace(each, tried=tried[each.server_id]) for each in moves(wanted, hosts, homes, fleet)),
            tuple(Running(name, vm.host, vm.to, vm.ours) for name, vm in there if vm.to),
            OperationLimits(
                hosts_at_once=w.at_once, troubled_hosts=w.troubled, attempts=1, rewired_at_once=AT_ONCE
            ),
            paused=w.paused,
            abort=w.abort,
        ),
    )


def _host(name: str, *drivers: str) -> Host:
    backends = tuple(HostBackend(each, {"physnet1": "eth1"}) for each in drivers)
    return Host(name, backends=backends, libvirt_version=9_000_000)


def _host_seen(each: Place, vms: tuple[VM, ...]) -> HostSeen:
    drivers = (NEW, OLD) if each.in_place and each.backend == NEW else (each.backend,)
    there = {
        str(number): ServerWired(
            Wired.OLD if each.silent and vm.wired is Wired.OFF else vm.wired, ours=vm.mine
        )
        for number, vm in enumerate(vms)
        if vm.host == each.name
    }
    command = None if each.command is None else CommandRun("1", "here", each.command, "failed")
    return HostSeen(
        _host(each.name, *drivers),
        each.stage,
        "trouble" if each.trouble else None,
        (HostBackend(OLD, {"physnet1": "eth1"}),),
        command,
        in_place=each.in_place,
        servers=there if each.stage is Stage.REWIRING else {},
        silent=each.silent,
    )


def look(w: Conversion) -> Conversion:
    """As the conductor looks: first the hosts are disabled and enabled as their stages want it."""
    if w.abort is None:
        for each in w.places:
            if each.stage.is_under_way:
                w = w.with_place(each.name, disabled=each.stage.takes_nobody)
    return w._replace(seen=w._replace(faults=0, seen=None))


def nature(w: Conversion) -> Iterator[Step]:
    """What happens by itself, and what a person does in the end."""
    for number, vm in enumerate(w.vms):
        if vm.to:
            yield Step(f"{number} arrives on {vm.to}", w.with_vm(number, _arrived(vm)))
        if vm.wired is Wired.CHANGING:
            yield from _rewired(w, number, vm)
    for each in w.places:
        if each.command is CommandState.RUNNING:
            yield Step(
                f"the command on {each.name} succeeds", command_ends(w, each, NEW, CommandState.SUCCEEDED)
            )
        if not w.run and each.stage is Stage.CONVERTING and each.backend != NEW and not each.trouble:
            changed = w.with_place(each.name, backend=NEW)
            yield Step(f"a person changes {each.name}", changed)
        if each.silent:
            yield Step(f"the agent of {each.name} answers", w.with_place(each.name, silent=False))
        if each.trouble and each.backend == OTHER:
            mended = w.with_place(each.name, backend=NEW)
            yield Step(f"a person mends {each.name}", mended)
    if w.paused and w.abort is None and not any(each.trouble and each.backend == OTHER for each in w.places):
        yield Step("a person resumes", resumed(w))


def _arrived(vm: VM) -> VM:
    return vm._replace(host=vm.to, to="", ours=True, wired=vm.bound, bound=Wired.OLD)


def begun(w: Conversion, vm: VM, to: str, *, ours: bool) -> VM:
    """A migration, which binds its ports as the destination has it now."""
    new = any(each.name == to and each.in_place and each.backend == NEW for each in w.places)
    return vm._replace(to=to, ours=ours, bound=Wired.NEW if new else Wired.OLD)


def _rewired(w: Conversion, number: int, vm: VM) -> Iterator[Step]:
    if w.place(vm.host).backend == NEW:
        done = w.with_vm(number, vm._replace(wired=Wired.NEW, mine=True))
        yield Step(f"{number} is rewired", done)
    else:
        yield Step(f"{number} is not rewired", w.with_vm(number, rewiring_failed(vm)))


def rewiring_failed(vm: VM) -> VM:
    """A rewiring of somebody else that failed is not the operation's business."""
    return vm._replace(wired=Wired.FAILED if vm.mine else Wired.OLD, mine=True)


def command_ends(w: Conversion, each: Place, backend: str, state: CommandState) -> Conversion:
    """Once it has ended so; nobody knows how if whoever ran it has died."""
    known = CommandState.LOST if each.orphan else state
    return w.with_place(each.name, command=known, orphan=False, backend=backend)


def resumed(w: Conversion) -> Conversion:
    """Once a person has resumed it: what was in trouble is tried again."""
    for each in w.places:
        if each.trouble:
            w = w.with_place(each.name, trouble=False)
            if each.command is not CommandState.RUNNING:
                w = w.with_place(each.name, command=None, ran=0)
    vms = tuple(
        vm._replace(tried=(), wired=Wired.OLD if vm.wired is Wired.FAILED else vm.wired) for vm in w.vms
    )
    return w._replace(paused=False, vms=vms)


def dead(w: Conversion) -> Conversion:
    """Whoever comes after sees that a command runs, and will not know how it ended."""
    for each in w.places:
        if each.command is CommandState.RUNNING:
            w = w.with_place(each.name, orphan=True)
    return w._replace(seen=None)


def acts(w: Conversion, seen: Conversion, decided: Decision, advance: Advance) -> Iterator[Step]:
    """What the conductor does, whole or, if it dies meanwhile, in part; and a port that was tried in vain."""
    w = w._replace(seen=None)
    for start in decided.start:
        number = int(start.server_id)
        vm = w.vms[number]
        disabled = start.destination != SPARE and w.place(start.destination).disabled
        if w.paused or w.abort or vm.to or disabled or vm.host != seen.vms[number].host:
            continue
        w = w.with_vm(number, begun(w, vm, start.destination, ours=True))
        yield Step(f"start {start.server_id} to {start.destination}, then it dies", dead(w), fault=True)
    for name, step in advance.steps.items():
        place = w.place(name)
        match step.act:
            case Act.REWIRE:
                w = _begin_rewirings(w, name, step.servers)
            case Act.TAKE_BACK:
                for each in step.servers:
                    if w.vms[int(each)].wired is Wired.CHANGING:
                        w = w.with_vm(int(each), rewiring_failed(w.vms[int(each)]))
            case Act.ENTER:
                w = _entered(w, name, step.stage or Stage.DONE)
            case Act.STOP:
                w = w.with_place(name, trouble=True)
            case Act.RUN:
                w = w.with_place(name, command=CommandState.RUNNING, ran=place.ran + 1)
            case Act.TRY:
                if w.faults:
                    failed = w._replace(faults=w.faults - 1).with_place(name, trouble=True)
                    yield Step(f"a port does not work on {name}, then it dies", dead(failed), fault=True)
                good = place.backend == NEW
                then = Stage.REWIRING if place.in_place else Stage.RETURNING
                w = w.with_place(name, **({"stage": then, "tried": True} if good else {"trouble": True}))
        yield Step(f"{step.act} {name}, then it dies", dead(w), fault=True)
    if advance.halt:
        w = w._replace(paused=True)
    if advance.outcome is not None and (w.paused, w.abort) == (seen.paused, seen.abort):
        w = w._replace(finished=advance.outcome)
    done = {name: step.act.value for name, step in advance.steps.items()}
    yield Step(f"act: {decided.start} {done} {advance.outcome or ''}", w)


def _begin_rewirings(w: Conversion, host: str, servers: tuple[str, ...]) -> Conversion:
    """Each in a transaction that looks whether it is wanted, and can be."""
    for each in servers:
        vm = w.vms[int(each)]
        if not w.paused and w.abort is None and vm.host == host and not vm.to and vm.wired is Wired.OLD:
            w = w.with_vm(int(each), vm._replace(wired=Wired.CHANGING, mine=True))
    return w


def _entered(w: Conversion, name: str, stage: Stage) -> Conversion:
    """Another stage; servers that were in the way of the one before may try everything again."""
    vms = tuple(vm._replace(tried=()) if name in {vm.home, vm.host} else vm for vm in w.vms)
    return w._replace(vms=vms).with_place(name, stage=stage, tried=False)
