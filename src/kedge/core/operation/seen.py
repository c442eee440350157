"""What an operation decides from, and what it decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kedge.core.placement import Fleet, PlacedServer
from kedge.model.operation import Abort, OperationLimits, Outcome


@dataclass(frozen=True)
class Tried:
    """A destination that is out of question for a server, and why.

    `failed`: a migration there was begun and failed, `at_s` in s since 1970. Without, a plan refused it before anything
    was made.
    """

    host: str
    why: str
    failed: bool = True
    at_s: float = 0.0


@dataclass(frozen=True)
class Move:
    """A server that an operation brings somewhere else.

    Attributes:
        away_from: it has arrived once it is on any other host; None if it must be on one of `hosts`.
        hosts: where it may go; without, to any host.
        tried: destinations that are not tried again.
        left: why nothing more is done with it, for instance that a person aborted its migration.
    """

    server_id: str
    away_from: str | None = None
    hosts: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    left: str | None = None

    def has_arrived(self, server: PlacedServer) -> bool:
        """It is where it was to be brought."""
        return server.host != self.away_from if self.away_from is not None else server.host in self.hosts


@dataclass(frozen=True)
class Running:
    """A migration under way. `ours`: it belongs to the operation; `ending`: its abort was asked for.

    `networks` are the migration networks of its two hosts, as far as hosts say theirs.
    """

    server_id: str
    source: str
    destination: str
    ours: bool = True
    ending: bool = False
    bandwidth_mib: int = 0
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ahead:
    """A server of an operation of higher priority, that waits to leave `source`; `hosts` if it may only go there."""

    source: str
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """The fleet, and what is wanted.

    Attributes:
        fleet: with a place promised to every migration under way.
        moves: what the operation is to do, in no order.
        running: all migrations that leave or reach hosts of the fleet, those of others too.
        emptying: hosts that no server is brought to, as the operation empties them.
        paused: nothing is begun.
        abort: nothing is begun any more, and the operation ends.
        ahead: who is waiting for hosts before this operation.
        now_s: the time in s since 1970.
    """

    fleet: Fleet
    moves: tuple[Move, ...]
    running: tuple[Running, ...] = ()
    limits: OperationLimits = field(default_factory=OperationLimits)
    emptying: frozenset[str] = frozenset()
    paused: bool = False
    abort: Abort | None = None
    ahead: tuple[Ahead, ...] = ()
    now_s: float = 0.0


class State(StrEnum):
    """How a server of an operation stands."""

    WAITING = "waiting"
    MOVING = "moving"
    REWIRING = "rewiring"
    ARRIVED = "arrived"
    GONE = "gone"
    STUCK = "stuck"


@dataclass(frozen=True)
class Outlook:
    """How one server stands, and why it waits or is stuck."""

    state: State
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Start:
    """Begin a migration. `bandwidth_mib` is its share, 0 for no limit."""

    server_id: str
    destination: str
    bandwidth_mib: int = 0


@dataclass(frozen=True)
class Tune:
    """Give a running migration this share of the bandwidth, in MiB/s; 0 for no limit."""

    server_id: str
    bandwidth_mib: int


@dataclass(frozen=True)
class Decision:
    """What to do now: `tune`, then `end`, then `start`; or how the operation has ended.

    Attributes:
        end: servers whose migrations are to be aborted.
        outlooks: how each server stands, by its id.
        without_place: servers that may begin and find no host in the fleet as it was seen.
        wake_s: when something else may be begun, even if nothing happens until then.
    """

    tune: tuple[Tune, ...] = ()
    end: tuple[str, ...] = ()
    start: tuple[Start, ...] = ()
    outcome: Outcome | None = None
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)
    without_place: frozenset[str] = frozenset()
    wake_s: float | None = None
