"""What nobody expects of hosts that change their backend, for `kedge.testing.explore_transition`."""

from collections.abc import Iterator

from kedge.core.operation.host_seen import Wired
from kedge.model.operation import Abort
from kedge.model.transition import CommandState, Stage

from .transition_world import (
    GONE,
    NEW,
    OLD,
    OTHER,
    SPARE,
    VM,
    Conversion,
    Step,
    begun,
    command_ends,
    dead,
    rewiring_failed,
)


def faults(w: Conversion) -> Iterator[Step]:
    """What nobody expects."""
    if w.seen is not None:
        yield Step("the conductor dies", dead(w), fault=True)
    if not w.faults:
        return
    w = w._replace(faults=w.faults - 1)
    yield from _faults_of_hosts(w)
    for number, vm in enumerate(w.vms):
        if vm.host == GONE:
            continue
        if vm.to:
            tried = (*vm.tried, vm.to) if vm.ours else vm.tried
            failed = vm._replace(to="", ours=True, tried=tried, bound=Wired.OLD)
            yield Step(f"the migration of {number} fails", w.with_vm(number, failed), fault=True)
            continue
        if vm.wired is Wired.CHANGING:
            yield Step(f"the rewiring of {number} fails", w.with_vm(number, rewiring_failed(vm)), fault=True)
            continue
        yield from _faults_in_place(w, number, vm)
        yield Step(f"{number} is deleted", w.with_vm(number, VM(vm.home, GONE)), fault=True)
        for host in (SPARE, *(each.name for each in w.places if not each.disabled)):
            if host != vm.host:
                moved = begun(w, vm, host, ours=False)
                yield Step(f"a person moves {number} to {host}", w.with_vm(number, moved), fault=True)
    if not w.paused:
        yield Step("a person pauses", w._replace(paused=True), fault=True)
    if w.abort is None:
        yield Step("a person aborts", w._replace(abort=Abort.FINISH_RUNNING), fault=True)


def _faults_in_place(w: Conversion, number: int, vm: VM) -> Iterator[Step]:
    place = next((each for each in w.places if each.name == vm.host), None)
    if place is None or not place.in_place:
        return
    if vm.wired in {Wired.OLD, Wired.FAILED}:
        yield Step(f"{number} is shut off", w.with_vm(number, vm._replace(wired=Wired.OFF)), fault=True)
        if place.backend == NEW:
            theirs = vm._replace(wired=Wired.CHANGING, mine=False)
            yield Step(f"a person rewires {number}", w.with_vm(number, theirs), fault=True)


def _faults_of_hosts(w: Conversion) -> Iterator[Step]:
    for each in w.places:
        if each.stage is Stage.REWIRING and not each.silent:
            yield Step(
                f"the agent of {each.name} is silent", w.with_place(each.name, silent=True), fault=True
            )
        if each.command is CommandState.RUNNING:
            for backend in (OLD, OTHER):
                failed = command_ends(w, each, backend, CommandState.FAILED)
                yield Step(f"the command on {each.name} fails: {backend}", failed, fault=True)
            lies = command_ends(w, each, OTHER, CommandState.SUCCEEDED)
            yield Step(f"the command on {each.name} makes {OTHER}", lies, fault=True)
        if each.stage.is_under_way and each.command is not CommandState.RUNNING and each.backend != OTHER:
            other = w.with_place(each.name, backend=OTHER)
            yield Step(f"{each.name} comes with {OTHER}", other, fault=True)
