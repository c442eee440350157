"""A small model of everything that a migration touches: two hosts, libvirt, agents, bindings, conductors.

A `World` is one state of it. What can follow by itself, or by a fault, is in `nature`; what conductors do, with the
real `decide()`, in `conducting`; what must hold, in `invariants`; and `explore` visits all of it.
"""

from typing import NamedTuple

from kedge.core.migration import BindingView, Observation, Outcome, Plugged, Role, Side
from kedge.model.domain import DomainState, TransferState

D, T, B, P = DomainState, TransferState, BindingView, Plugged

RUNS = {D.RUNNING, D.POSTCOPY_DESTINATION}
OVER = {D.POSTCOPY_SOURCE, D.POSTCOPY_BROKEN}
LEFT = {D.SWITCHOVER, *OVER, D.ABSENT, D.SHUTOFF}


class Violation(AssertionError):
    """An invariant does not hold."""


class World(NamedTuple):
    """One state of the whole. `faults` is how many more things may go wrong.

    A tuple, because hundreds of thousands are made from one another and hashed.
    """

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
    twice: bool = False  # libvirt has let the VM run on both hosts
    abort: bool = False
    overdue: bool = False
    failure: bool = False
    orders: int = 0
    may_lag_whole: bool = False  # whether an agent may show its domain as it was, too, and not the VIFs alone
    lag: tuple[Role, Plugged | Side] | None = None  # what a side's agent still shows, which is how it was
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


def shown(w: World, role: Role) -> Plugged:
    """What a side's agent shows of its VIFs."""
    if w.lag is not None and w.lag[0] is role and isinstance(w.lag[1], Plugged):
        return w.lag[1]
    return w.source_plug if role is Role.SOURCE else w.destination_plug


def ended(w: World, state: TransferState) -> TransferState:
    """The agent hears how the transfer ended, if it is the process that started it."""
    return state if w.memory is T.RUNNING else w.memory
