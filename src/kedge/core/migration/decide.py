"""decide(observation) -> action: the whole of a migration's logic, with no memory and no I/O.

There is no script with a position in it. Whatever happened before (a crash, a lost answer, another
conductor, a person with virsh), the next decision follows from where the VM is now:

    the VM runs on the destination   -> settle there; there is no way back
    it is being handed over          -> switch the bindings, let libvirt finish
    memory is being copied           -> wait, or abort
    it runs on the source            -> go on towards the transfer, or roll back
    it runs nowhere                  -> leave it to the side that holds it, clean the other

Invariants that hold for every observation (shown by exploration, see `kedge.testing.explore`):

1. At every instant a bound port has exactly one ACTIVE binding.
2. The destination's is activated only once the source VM is paused for the switchover or gone; the
   source's is re-activated only if the VM does not run, and can't come to run, on the destination.
3. Nothing is removed from a host on which the domain runs, is paused for a migration, or is incoming; but of a VM
   that libvirt left running on both hosts, the source's copy is.
4. In the end the VM, the one binding and the one set of VIFs are on the same host.
5. Once faults stop, the end is reached; a host that never comes back is one that an operator must call gone.
6. After the switch to post-copy nothing rolls back.
7. A VM is called lost only when no host runs it; one that may have run elsewhere is never resumed.
"""

from kedge.model.domain import DomainState, TransferState

from .observation import Act, Action, BindingView, Observation, Outcome, Role, Side

_OVER = frozenset({DomainState.POSTCOPY_SOURCE, DomainState.POSTCOPY_BROKEN})

MAX_ORDERS = 3
"""How often a transfer is ordered that the source's agent never heard of (its answer, or it, got lost)."""


def decide(seen: Observation) -> Action:
    """The next action for a migration that looks like this."""
    source, destination = seen.source, seen.destination
    if destination.runs:
        return _settle(seen)
    if source.reachable and source.domain in {DomainState.SWITCHOVER, *_OVER}:
        return _hand_over(seen)
    if source.runs:
        if source.transferring:
            return _let_transfer(seen)
        return _roll_back(seen) if _failing(seen) else _go_forward(seen)
    if source.stopped:
        return _bury(seen)
    return _without_source(seen)


def _failing(seen: Observation) -> bool:
    return seen.intent.abort or seen.intent.failure is not None


def _wait(why: str) -> Action:
    return Action(Act.WAIT, why=why)


def _bind_destination(destination: Side, why: str) -> Action:
    """The VM is there for good: bind what is not bound there, and make it ACTIVE."""
    act = Act.ACTIVATE if destination.binding is BindingView.INACTIVE else Act.BIND
    return Action(act, Role.DESTINATION, why)


def _why_it_stopped(source: Side) -> str:
    if source.domain is DomainState.ABSENT:
        return "the VM is on neither host any more: it was shut down, or somebody moved it elsewhere"
    return "the VM stopped while it was being migrated"


def _settle(seen: Observation) -> Action:
    """The VM runs on the destination: bring everything else there, then clean the source."""
    source, destination = seen.source, seen.destination
    if _runs_twice(seen):
        return Action(
            Act.DISCARD,
            Role.SOURCE,
            "libvirt let the VM run on both hosts: it goes on on the destination, and the source's copy is ended",
            only_in=(source.domain,),
        )
    if source.runs and source.domain is not DomainState.PAUSED:
        return _wait("source and destination were seen at different moments")
    if not destination.bound:
        return _bind_destination(destination, "the VM runs on the destination")
    if not seen.intent.announced:
        return Action(Act.ANNOUNCE, Role.DESTINATION, "the VM runs on the destination")
    if not destination.wired:
        return Action(Act.PLUG, Role.DESTINATION, "a VIF of the running VM is not wired")
    if destination.domain is DomainState.POSTCOPY_DESTINATION:
        if source.gone:
            return _lose(
                seen,
                Role.DESTINATION,
                "the VM is lost: memory that it still needs was on the source, which is forced down",
            )
        broken = source.reachable and source.domain is DomainState.POSTCOPY_BROKEN
        if broken and source.transfer is not TransferState.RUNNING:
            return Action(
                Act.RECOVER, Role.SOURCE, "the post-copy transfer broke off, and memory is still there"
            )
        return _wait("memory still arrives (post-copy)")
    if source.transferring:
        return _wait("libvirt is finishing on the source")
    if not source.reachable:
        if not source.dead:
            return _wait("the source must be cleaned and does not answer")
    elif source.domain is not DomainState.ABSENT:
        left_over = {
            DomainState.SWITCHOVER,
            *_OVER,
            DomainState.SHUTOFF,
            DomainState.CRASHED,
        }
        if source.domain not in left_over:
            return _wait("source and destination were seen at different moments")
        return Action(
            Act.DISCARD, Role.SOURCE, "the VM has left; its old domain has not", only_in=(source.domain,)
        )
    elif not source.unplugged:
        return Action(Act.UNPLUG, Role.SOURCE, "the VM has left")
    if not source.unbound:
        return Action(Act.UNBIND, Role.SOURCE, "the VM has left")
    return Action(Act.FINISH, why="the VM runs on the destination", outcome=Outcome.COMPLETED)


def _runs_twice(seen: Observation) -> bool:
    """Whether both hosts have the VM for good.

    libvirt resumes the source's (or leaves it paused, if its disks are locked) when the destination's libvirtd dies
    after it has started the VM and before it has said so. The source is looked at first, and its agent looks again
    before it removes anything: what is still there then is there beside the destination's.
    """
    here = seen.source.domain in {DomainState.RUNNING, DomainState.PAUSED}
    there = seen.destination.domain is DomainState.RUNNING
    return seen.source.runs and here and there and not seen.source.transferring


def _hand_over(seen: Observation) -> Action:
    """The source VM is paused for the migration. Nothing here may make it run in two places."""
    source, destination = seen.source, seen.destination
    if source.transferring:
        if destination.binding is BindingView.INACTIVE:
            return Action(Act.ACTIVATE, Role.DESTINATION, "the source VM is paused for the switchover")
        return _wait("libvirt is handing the VM over")
    # No job drives the switchover any more: libvirtd or its connection died in the middle of it.
    if destination.gone:
        return _lose(
            seen,
            Role.SOURCE,
            "the VM may have run on the destination, which is forced down; what is paused on the source is from before:"
            " resume it there (`virsh resume`) only if you know that it had not",
        )
    if source.domain in _OVER:
        return _wait("the VM went over to post-copy; only the destination can have it")
    if not destination.reachable:
        return _wait("only the destination knows whether the VM runs, and it does not answer")
    if destination.domain is DomainState.INCOMING:
        return _discard_incoming()
    if destination.domain is DomainState.SHUTOFF:
        # libvirt keeps the definition only once the VM arrived. What is paused here is its past: to run it
        # again would be to run it from a memory that its disks have left behind.
        return _settle_stopped(seen)
    return Action(Act.RESUME, Role.SOURCE, "the migration died and the VM is paused on the source alone")


def _let_transfer(seen: Observation) -> Action:
    """Memory is being copied while the VM runs on the source."""
    if _failing(seen):
        return Action(Act.ABORT_TRANSFER, Role.SOURCE, seen.intent.failure or "abort was asked for")
    if seen.intent.overdue and not seen.intent.hurry:
        return Action(Act.GIVE_UP, why=seen.intent.overdue)
    return _wait("memory is being copied")


def _go_forward(seen: Observation) -> Action:
    """The VM runs on the source and no transfer is under way: prepare one, then order it."""
    source, destination = seen.source, seen.destination
    if source.transfer is TransferState.FAILED:
        return Action(Act.GIVE_UP, why="the transfer failed")
    if source.portless:
        return Action(Act.GIVE_UP, why="the server's ports were deleted, so there is no network to carry")
    if seen.intent.overdue:
        return Action(Act.GIVE_UP, why=seen.intent.overdue)
    if seen.intent.orders >= MAX_ORDERS:
        return Action(
            Act.GIVE_UP, why=f"the transfer was ordered {MAX_ORDERS} times and never ran to its end"
        )
    if not destination.reachable:
        if destination.dead:
            return Action(Act.GIVE_UP, why="the destination's agent is dead")
        return _wait("the destination does not answer")
    if not source.bound:
        return _bind_source_again(destination)
    if destination.domain is DomainState.INCOMING:
        return _discard_incoming()
    if destination.domain is not DomainState.ABSENT:
        return Action(
            Act.GIVE_UP, why=f"the destination holds a domain of this server ({destination.domain})"
        )
    if destination.binding is not BindingView.INACTIVE:
        return Action(Act.BIND, Role.DESTINATION, "bind ahead")
    if not destination.wired:
        return Action(Act.PLUG, Role.DESTINATION, "plug and wire ahead")
    return Action(Act.TRANSFER, Role.SOURCE, "every port is bound and wired on the destination")


def _roll_back(seen: Observation) -> Action:
    """The VM runs on the source and stays there: put its network right first, then clean the destination."""
    source, destination = seen.source, seen.destination
    if not source.bound:
        return _bind_source_again(destination)
    if not source.wired and not seen.intent.unwired:
        return Action(Act.PLUG, Role.SOURCE, "the VM stays on the source, and a VIF of it is not wired there")
    return _clean_destination(seen, "the VM stays on the source")


def _bind_source_again(destination: Side) -> Action:
    if not (destination.reachable or destination.gone):
        return _wait("the source's bindings come back once the destination says that it does not run the VM")
    return Action(Act.ACTIVATE, Role.SOURCE, "the VM runs on the source")


def _clean_destination(seen: Observation, why: str) -> Action:
    cancelled = seen.intent.abort and seen.intent.failure is None
    return _clear_destination(seen, why) or Action(
        Act.FINISH, why=why, outcome=Outcome.CANCELLED if cancelled else Outcome.FAILED
    )


def _clear_destination(seen: Observation, why: str) -> Action | None:
    """What is left to be removed from the destination; None if nothing is."""
    destination = seen.destination
    if destination.reachable:
        if destination.domain is DomainState.INCOMING:
            return _discard_incoming()
        if destination.domain in {DomainState.SHUTOFF, DomainState.CRASHED}:
            return Action(Act.DISCARD, Role.DESTINATION, why, only_in=(destination.domain,))
        if not destination.unplugged:
            return Action(Act.UNPLUG, Role.DESTINATION, why)
    elif not destination.dead:
        return _wait("the destination must be cleaned and does not answer")
    if not destination.unbound:
        # What was plugged a moment ago may not be seen yet, and an order whose answer was lost may still be worked
        # off. The agent, which does one at a time, knows.
        return Action(Act.UNBIND, Role.DESTINATION, why, unplug=destination.reachable)
    return None


def _discard_incoming() -> Action:
    return Action(
        Act.DISCARD,
        Role.DESTINATION,
        "a half-made domain waits for a transfer that does not exist",
        only_in=(DomainState.INCOMING,),
    )


def _bury(seen: Observation) -> Action:
    """The source does not run the VM and the destination is not seen to."""
    source, destination = seen.source, seen.destination
    if source.transferring:
        return _wait("libvirt is finishing on the source")
    if destination.gone and source.domain is DomainState.ABSENT:
        return _lose(
            seen, Role.DESTINATION, "the VM is lost: it had left for the destination, which is forced down"
        )
    if not (destination.reachable or destination.gone):
        return _wait("only the destination knows whether the VM runs, and it does not answer")
    arrived = source.domain is DomainState.ABSENT and destination.domain is DomainState.SHUTOFF
    if arrived:
        return _settle_stopped(seen)
    if destination.domain is DomainState.INCOMING:
        return _discard_incoming()
    if seen.intent.failure is None and not seen.intent.abort:
        return Action(Act.GIVE_UP, why=_why_it_stopped(source))
    if not source.bound:
        return Action(Act.ACTIVATE, Role.SOURCE, "the VM runs nowhere; it belongs to the source")
    return _clean_destination(seen, "the VM stopped on the source")


def _settle_stopped(seen: Observation) -> Action:
    """The VM reached the destination and was shut down there before the migration was settled."""
    source, destination = seen.source, seen.destination
    if not destination.bound:
        return _bind_destination(destination, "the server is on the destination, shut down")
    if source.reachable and source.domain is not DomainState.ABSENT:
        return Action(Act.DISCARD, Role.SOURCE, "the server has left", only_in=(source.domain,))
    if source.reachable and not source.unplugged:
        return Action(Act.UNPLUG, Role.SOURCE, "the server has left")
    if not source.unbound:
        return Action(Act.UNBIND, Role.SOURCE, "the server has left")
    return Action(Act.FINISH, why="the VM arrived and was then shut down there", outcome=Outcome.COMPLETED)


def _without_source(seen: Observation) -> Action:
    """The source does not answer, and the destination is not seen to run the VM.

    Once a transfer was ordered, a dead source may hold the VM paused for a switchover that died with it:
    then only the source itself can end the migration, by coming back.
    """
    source, destination = seen.source, seen.destination
    if source.gone and (destination.reachable or destination.gone):
        if destination.reachable and destination.domain is DomainState.INCOMING:
            return _discard_incoming()  # First of all: until it is gone, the VM may still come to run in it.
        if destination.reachable and destination.domain is DomainState.SHUTOFF:
            return _settle_stopped(seen)
        return _lose(seen, Role.SOURCE, "the VM is lost: it was on the source, which is forced down")
    never_left = seen.intent.orders == 0 and destination.reachable and destination.stopped
    if not (source.dead and never_left):
        return _wait("the source does not answer")
    if not _failing(seen):
        return Action(Act.GIVE_UP, why="the source's agent is dead")
    return _clean_destination(seen, "the source's agent is dead and the VM has not left it")


def _lose(seen: Observation, role: Role, why: str) -> Action:
    """No host has the VM whole: say so, and bring what is recorded of it to one side, for a person to go on with.

    `role` is the side that is preferred; one on which the ports have no bindings any more is not taken. Domains that
    are left are left: a half of a VM, or its past, may be worth something to somebody.
    """
    source, destination = seen.source, seen.destination
    if role is Role.SOURCE or not destination.has_all_bindings:
        role = Role.SOURCE if source.has_all_bindings else Role.DESTINATION
    finish = Action(Act.FINISH, role, why, outcome=Outcome.LOST)
    if role is Role.SOURCE:
        if not source.bound:
            return Action(Act.ACTIVATE, Role.SOURCE, why)
        return _clear_destination(seen, why) or finish
    if not destination.bound:
        return _bind_destination(destination, why)
    if source.reachable and source.domain is DomainState.ABSENT and not source.unplugged:
        return Action(Act.UNPLUG, Role.SOURCE, why)
    return finish if source.unbound else Action(Act.UNBIND, Role.SOURCE, why)
