"""Operations: what is wanted of many servers at once, and how much of it at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .placement import LABEL_PART
from .rebalance import Levelling
from .server import UNKNOWN_REFUSED
from .transition import Transition, TransitionHost
from .window import Window

QUICK_FIRST, BIGGEST_FIRST, BY_LABEL = "quick-first", "biggest-first", "label:"
"""Which servers go first: by the memory that has to be copied, or by the value of the label after `label:`."""


class Abort(StrEnum):
    """What an abort does with the migrations that are under way."""

    FINISH_RUNNING = "finish-running"
    ABORT_RUNNING = "abort-running"


class OperationKind(StrEnum):
    """What an operation is for: to empty a host, to bring back what a drain took away, to move chosen servers, or to
    level hosts, or to change their network backend.
    """

    DRAIN = "drain"
    RESTORE = "restore"
    SERVERS = "servers"
    REBALANCE = "rebalance"
    TRANSITION = "transition"


class Outcome(StrEnum):
    """How an operation ended. It failed if a server that was to move is still where it was."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


_LIMITS = {
    "per_source": (1, 1000),
    "per_destination": (1, 1000),
    "per_network": (0, 1000),
    "in_all": (1, 10_000),
    "bandwidth_mib": (0, 1 << 20),
    "max_failures": (0, 100_000),
    "attempts": (1, 100),
    "retry_s": (0, 86_400),
    "priority": (-100, 100),
    "hosts_at_once": (1, 10_000),
    "troubled_hosts": (0, 10_000),
    "rewired_at_once": (1, 1000),
}


@dataclass(frozen=True)
class OperationLimits:
    """How much an operation does at once, and how much trouble it takes before it stops.

    Attributes:
        per_source: migrations that may leave one host at once, those of others among them.
        per_destination: migrations that may arrive at one host at once, those of others among them.
        per_network: migrations over one migration network at once, those of others among them; 0 for no limit. Hosts
            are on the one that their agents name; a migration between two networks counts on both.
        in_all: migrations of this operation at once.
        bandwidth_mib: in MiB/s, shared by the migrations of this operation in equal parts; 0 for no limit.
        max_failures: nothing more is begun once more migrations than that have failed.
        attempts: how many migrations of one server may fail.
        retry_s: after a failure its next one begins so many seconds later, after two twice as many, and so on.
        order: which servers go first: `quick-first`, `biggest-first`, or `label:KEY`, by that label's value, and those
            without it last.
        priority: where several operations wait for the same host, the one of the highest goes first.
        window: nothing is begun outside it: `22:00-05:00` in UTC, or `22:00-05:00+02:00`; "" for any time.
        hosts_at_once: of a transition: hosts that are changed at once.
        troubled_hosts: of a transition: the next host's turn comes in spite of so many that are in trouble.
        rewired_at_once: of a transition: servers of one host whose ports go over to another switch at once.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    per_source: int = 2
    per_destination: int = 2
    per_network: int = 0
    in_all: int = 8
    bandwidth_mib: int = 0
    max_failures: int = 3
    attempts: int = 2
    retry_s: int = 10
    order: str = QUICK_FIRST
    priority: int = 0
    window: str = ""
    hosts_at_once: int = 1
    troubled_hosts: int = 0
    rewired_at_once: int = 4

    def __post_init__(self) -> None:
        _check_order(self.order)
        if self.window:
            Window.parse(self.window)
        for name, (lowest, highest) in _LIMITS.items():
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} is {value}; give a number from {lowest} to {highest}")


def _check_order(order: str) -> None:
    if order in {QUICK_FIRST, BIGGEST_FIRST}:
        return
    key = order.removeprefix(BY_LABEL)
    if key == order:
        raise ValueError(f"order is {order!r}; write {QUICK_FIRST}, {BIGGEST_FIRST} or {BY_LABEL}KEY")
    if LABEL_PART.fullmatch(key) is None:
        raise ValueError(f"order is {order!r}, and {key!r} is no label's key")


@dataclass(frozen=True)
class OperationItem:
    """A server of an operation.

    Attributes:
        source: where it was when it became part of the operation.
        state: waiting, moving, arrived, gone or stuck; `why` says why it waits or is stuck.
        tried: the destinations that were tried or refused, each with `host`, `why` and `failed`.
        migrations: those that the operation began for it, in their order.
        hosts: where this server is to go, if not where all of the operation may.
        rewiring: the last one that the operation began for it.
        planned: where room is promised to it until its migration begins.
    """

    server_id: str
    name: str
    source: str
    state: str
    why: tuple[str, ...] = ()
    tried: tuple[Mapping[str, Any], ...] = ()
    migrations: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    rewiring: str | None = None
    planned: str | None = None


@dataclass(frozen=True)
class Operation:
    """An operation as it stands; `state` is running, paused, aborting, or how it ended.

    `prediction` was made at its begin; `took_s` is how long it really took, once it has ended. `levelling` is a
    rebalance's. `policy` is the one of all its migrations; without, each server's label names its own.
    """

    id: str
    kind: OperationKind
    host: str
    targets: tuple[str, ...]
    state: str
    limits: OperationLimits = field(default_factory=OperationLimits)
    items: tuple[OperationItem, ...] = ()
    prediction: Mapping[str, Any] | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    took_s: float | None = None
    levelling: Levelling | None = None
    transition: Transition | None = None
    hosts: tuple[TransitionHost, ...] = ()
    policy: str | None = None
