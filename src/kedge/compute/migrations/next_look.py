"""Where a conductor looks next: at what its last action may have changed, and at what it waits for.

Every decision is made on views that are old already, so a host on which nothing is expected to have changed may stay as
it was seen last, where a decision on that view can do no harm.
"""

from collections.abc import Collection
from dataclasses import dataclass

from kedge.core.migration import Act, Action, Observation, Role
from kedge.model.domain import DomainState

SWITCHOVER_WAIT_MS = 50
"""How long a look waits for the destination to run, once the source is paused."""

_BOTH = tuple(Role)
_SOURCE, _DESTINATION = (Role.SOURCE,), (Role.DESTINATION,)


@dataclass(frozen=True)
class NextLook:
    """What `Looker.look` is told; without anything, all is looked at."""

    ask: Collection[Role] = _BOTH
    check_vifs: Collection[Role] = _BOTH
    wait_on: Role | None = None
    wait_ms: int = 0
    bindings: bool = True


def next_look(before: Observation, last: Action, *, done: bool, wait_ms: int) -> NextLook:
    """The look after this action was decided from what was seen `before`.

    `done`: it was done, at the first try. `wait_ms` is how long a look may wait for news of the source.
    """
    if last.act is Act.WAIT:
        return _waiting(before, wait_ms) if before.source.transferring else NextLook()
    if done and last.act is Act.TRANSFER:
        return NextLook(check_vifs=(), wait_on=Role.SOURCE, wait_ms=wait_ms, bindings=False)
    if done and _prepares(before):
        return NextLook(_to_ask_ahead(last), _to_check(last), bindings=last.act is not Act.PLUG)
    if done and _hands_over(before, last):
        # Nothing more is to be done before the VM runs there; if it does not in time, both are looked at.
        return NextLook(_DESTINATION, _DESTINATION, Role.DESTINATION, SWITCHOVER_WAIT_MS)
    if done and before.destination.runs:
        return _settling(before, last, wait_ms)
    return NextLook(check_vifs=_to_check(last))


def _waiting(before: Observation, wait_ms: int) -> NextLook:
    """While libvirt is at work nothing depends on the VIFs, so the looks are kept quick."""
    if before.source.domain is DomainState.SWITCHOVER and not before.destination.runs:
        return NextLook(_BOTH, (), Role.DESTINATION, SWITCHOVER_WAIT_MS, bindings=False)
    # The destination is asked once libvirt has ended on the source, and then its VIFs carry the VM.
    check = _DESTINATION if before.destination.runs else ()
    return NextLook(check_vifs=check, wait_on=Role.SOURCE, wait_ms=wait_ms, bindings=False)


def _prepares(before: Observation) -> bool:
    return before.source.runs and not (
        before.source.transferring or before.intent.abort or before.intent.failure
    )


def _hands_over(before: Observation, last: Action) -> bool:
    handed_over = before.source.domain is DomainState.SWITCHOVER and before.source.transferring
    return last.act is Act.ACTIVATE and last.role is Role.DESTINATION and handed_over


def _to_ask_ahead(done: Action) -> tuple[Role, ...]:
    """The hosts to look at again after an action by which a transfer was prepared.

    Nothing that follows before the transfer can harm the VM, and its agent looks before it begins that.
    """
    match done.act:
        case Act.BIND:
            return ()
        case Act.PLUG:
            return (done.role or Role.DESTINATION,)
    return _BOTH


def _settling(before: Observation, done: Action, wait_ms: int) -> NextLook:
    """The VM runs on the destination: there is no way back, and what is left is to clean the source."""
    match done.act:
        case Act.ANNOUNCE if before.source.transferring:
            return _waiting(before, wait_ms)
        case Act.ANNOUNCE:
            return NextLook((), bindings=False)
        case Act.UNPLUG:
            return NextLook((), bindings=False)  # its results say what it found afterwards
        case Act.UNBIND:
            return NextLook(
                _DESTINATION, _DESTINATION
            )  # the VM is there, and wired, when it counts as settled
    return NextLook(check_vifs=_to_check(done))


def _to_check(done: Action) -> tuple[Role, ...]:
    """Where an action may have changed VIFs, or where it is time to see that they are as they should be."""
    match done.act:
        case Act.PLUG | Act.ACTIVATE | Act.UNPLUG | Act.DISCARD | Act.RESUME:
            return (done.role or Role.DESTINATION,)
        case Act.BIND | Act.ANNOUNCE | Act.UNBIND:
            return ()
    return _BOTH
