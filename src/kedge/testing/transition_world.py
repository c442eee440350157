"""Two hosts that change their backend beside a third, for `kedge.testing.explore_transition`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from kedge.core.operation import Decision, Running, Seen, Tried
from kedge.core.operation.stages import Act, Advance, HostSeen, moves
from kedge.core.placement import Fleet, HostState, PlacedServer
from kedge.model.host import Host, HostBackend
from kedge.model.operation import Abort, OperationLimits, Outcome
from kedge.model.placement import Demand, HostSettings
from kedge.model.transition import CommandRun, CommandState, Stage, Transition

OLD, NEW, OTHER = "linuxbridge", "openvswitch", "macvtap"
SPARE = "c"
GONE = ""


class VM(NamedTuple):
    """A server: its home, where it is, "" once it is deleted, and its migration, if one is under way."""

    home: str
    host: str
    to: str = ""
    ours: bool = True
    tried: tuple[str, ...] = ()


class Place(NamedTuple):
    """A host of the transition, as the database has it, and what is true on it.

    Attributes:
        backend: what its agent reports.
        orphan: whoever ran its command has died, so how that ends will not be known.
        ran: how often its command was run since a person looked at it.
        tried: a port was tried there, and the host went on to take its servers back.
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
    hosts = tuple(_host_seen(each) for each in w.places)
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
            OperationLimits(hosts_at_once=w.at_once, troubled_hosts=w.troubled, attempts=1),
            paused=w.paused,
            abort=w.abort,
        ),
    )


def _host(name: str, backend: str) -> Host:
    return Host(name, backends=(HostBackend(backend, {"physnet1": "eth1"}),), libvirt_version=9_000_000)


def _host_seen(each: Place) -> HostSeen:
    command = None if each.command is None else CommandRun("1", "here", each.command, "failed")
    return HostSeen(
        _host(each.name, each.backend),
        each.stage,
        "trouble" if each.trouble else None,
        (HostBackend(OLD, {"physnet1": "eth1"}),),
        command,
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
            arrived = vm._replace(host=vm.to, to="", ours=True)
            yield Step(f"{number} arrives on {vm.to}", w.with_vm(number, arrived))
    for each in w.places:
        if each.command is CommandState.RUNNING:
            yield Step(
                f"the command on {each.name} succeeds", _command_ends(w, each, NEW, CommandState.SUCCEEDED)
            )
        if not w.run and each.stage is Stage.CONVERTING and each.backend != NEW and not each.trouble:
            changed = w.with_place(each.name, backend=NEW)
            yield Step(f"a person changes {each.name}", changed)
        if each.trouble and each.backend == OTHER:
            mended = w.with_place(each.name, backend=NEW)
            yield Step(f"a person mends {each.name}", mended)
    if w.paused and w.abort is None and not any(each.trouble and each.backend == OTHER for each in w.places):
        yield Step("a person resumes", resumed(w))


def _command_ends(w: Conversion, each: Place, backend: str, state: CommandState) -> Conversion:
    known = CommandState.LOST if each.orphan else state
    return w.with_place(each.name, command=known, orphan=False, backend=backend)


def resumed(w: Conversion) -> Conversion:
    """Once a person has resumed it: what was in trouble is tried again."""
    for each in w.places:
        if each.trouble:
            w = w.with_place(each.name, trouble=False)
            if each.command is not CommandState.RUNNING:
                w = w.with_place(each.name, command=None, ran=0)
    vms = tuple(vm._replace(tried=()) for vm in w.vms)
    return w._replace(paused=False, vms=vms)


def faults(w: Conversion) -> Iterator[Step]:
    """What nobody expects."""
    if w.seen is not None:
        yield Step("the conductor dies", _dead(w), fault=True)
    if not w.faults:
        return
    w = w._replace(faults=w.faults - 1)
    yield from _faults_of_hosts(w)
    for number, vm in enumerate(w.vms):
        if vm.host == GONE:
            continue
        if vm.to:
            tried = (*vm.tried, vm.to) if vm.ours else vm.tried
            failed = vm._replace(to="", ours=True, tried=tried)
            yield Step(f"the migration of {number} fails", w.with_vm(number, failed), fault=True)
            continue
        yield Step(f"{number} is deleted", w.with_vm(number, VM(vm.home, GONE)), fault=True)
        for host in (SPARE, *(each.name for each in w.places if not each.disabled)):
            if host != vm.host:
                moved = vm._replace(to=host, ours=False)
                yield Step(f"a person moves {number} to {host}", w.with_vm(number, moved), fault=True)
    if not w.paused:
        yield Step("a person pauses", w._replace(paused=True), fault=True)
    if w.abort is None:
        yield Step("a person aborts", w._replace(abort=Abort.FINISH_RUNNING), fault=True)


def _faults_of_hosts(w: Conversion) -> Iterator[Step]:
    for each in w.places:
        if each.command is CommandState.RUNNING:
            for backend in (OLD, OTHER):
                failed = _command_ends(w, each, backend, CommandState.FAILED)
                yield Step(f"the command on {each.name} fails: {backend}", failed, fault=True)
            lies = _command_ends(w, each, OTHER, CommandState.SUCCEEDED)
            yield Step(f"the command on {each.name} makes {OTHER}", lies, fault=True)
        if each.stage.is_under_way and each.command is not CommandState.RUNNING and each.backend != OTHER:
            other = w.with_place(each.name, backend=OTHER)
            yield Step(f"{each.name} comes with {OTHER}", other, fault=True)


def _dead(w: Conversion) -> Conversion:
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
        w = w.with_vm(number, vm._replace(to=start.destination, ours=True))
        yield Step(f"start {start.server_id} to {start.destination}, then it dies", _dead(w), fault=True)
    for name, step in advance.steps.items():
        place = w.place(name)
        match step.act:
            case Act.ENTER:
                w = _entered(w, name, step.stage or Stage.DONE)
            case Act.STOP:
                w = w.with_place(name, trouble=True)
            case Act.RUN:
                w = w.with_place(name, command=CommandState.RUNNING, ran=place.ran + 1)
            case Act.TRY:
                if w.faults:
                    failed = w._replace(faults=w.faults - 1).with_place(name, trouble=True)
                    yield Step(f"a port does not work on {name}, then it dies", _dead(failed), fault=True)
                good = place.backend == NEW
                stage = {"stage": Stage.RETURNING, "tried": True} if good else {"trouble": True}
                w = w.with_place(name, **stage)
        yield Step(f"{step.act} {name}, then it dies", _dead(w), fault=True)
    if advance.halt:
        w = w._replace(paused=True)
    if advance.outcome is not None and (w.paused, w.abort) == (seen.paused, seen.abort):
        w = w._replace(finished=advance.outcome)
    done = {name: step.act.value for name, step in advance.steps.items()}
    yield Step(f"act: {decided.start} {done} {advance.outcome or ''}", w)


def _entered(w: Conversion, name: str, stage: Stage) -> Conversion:
    """Another stage; servers that were in the way of the one before may try everything again."""
    vms = tuple(vm._replace(tried=()) if name in {vm.home, vm.host} else vm for vm in w.vms)
    return w._replace(vms=vms).with_place(name, stage=stage, tried=False)
