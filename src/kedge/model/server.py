"""Servers (VMs as Kedge's API shows them), their migrations, and what a migration would do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from .convergence import StallAction, StallStep, schedule_of
from .domain import DomainState
from .network import Binding
from .obstacle import Obstacle
from .placement import Demand

UNKNOWN_REFUSED = {"extra": "forbid"}
"""For what comes as a request's body: pydantic refuses a name that is not known, and does not ignore it."""


@dataclass(frozen=True)
class Server:
    """A server; its `id` is its domain's UUID, its ports are those whose `device_id` is that.

    `demand` is what it took of its host when somebody looked last.
    """

    id: str
    name: str
    host: str
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    demand: Demand = field(default_factory=Demand)


STATUS_OF_DOMAIN: Mapping[DomainState, str] = {
    DomainState.RUNNING: "ACTIVE",
    DomainState.POSTCOPY_DESTINATION: "ACTIVE",
    DomainState.PAUSED: "PAUSED",
    DomainState.SHUTOFF: "SHUTOFF",
    DomainState.CRASHED: "ERROR",
}
"""What a server's status is to be, by its domain's state."""


class MigrationStatus(StrEnum):
    """Where a migration is, for people. Nothing is decided by it.

    PREPARING -> RUNNING -> SWITCHING -> SETTLING -> COMPLETED, and from anywhere before SETTLING
    over ROLLING_BACK to FAILED or CANCELLED.
    """

    PREPARING = "preparing"
    RUNNING = "running"
    SWITCHING = "switching"
    SETTLING = "settling"
    ROLLING_BACK = "rolling-back"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """The entries of a migration's timeline, in the order in which they come."""

    PREFLIGHT = "preflight"
    BOUND = "bound"
    PLUGGED = "plugged and wired"
    TRANSFER = "transfer"
    PAUSED = "paused"
    SWITCHED = "switched"
    ANNOUNCED = "announced"
    VERIFIED = "wired and verified"
    ABORT_ASKED = "abort asked"
    GIVEN_UP = "given up"
    ROLLED_BACK = "rolled back"
    SETTLED = "settled"
    HURRIED = "time was up"
    RECOVERED = "post-copy went on"
    UNWIRED = "not wired on the source"
    LOST = "lost with its host"
    TWIN_ENDED = "second copy ended on the source"


class TimeoutAction(StrEnum):
    """What becomes of a migration whose time is up while memory is copied; before that it is always aborted.

    `force-complete` lifts the limit of the downtime, so that the VM stands still until the rest is copied.
    `post-copy` lets it run on the destination and fetches the rest from there; that can't be rolled back.
    """

    ABORT = "abort"
    FORCE_COMPLETE = "force-complete"
    POST_COPY = "post-copy"


MOST_MIB = 1 << 20
MOST_DOWNTIME_MS = 2_000_000
"""QEMU takes no higher limit (its MAX_MIGRATE_DOWNTIME)."""

MOST_CONNECTIONS = 255
"""QEMU counts them in a byte (multifd-channels)."""

COMPRESSIONS = ("", "zstd")
MOST_LEVEL = 20


@dataclass(frozen=True)
class MigrationOptions:
    """What a person may choose for one migration.

    Attributes:
        downtime_limit_ms: what QEMU may plan for; None lets Kedge choose it by what has to be copied.
        bandwidth_mib: limit of the transfer rate in MiB/s, 0 for none.
        auto_converge: let QEMU slow the guest down when it dirties memory faster than it can be copied.
        completion_timeout_s: how long it may take from its beginning until the VM is handed over; None for ever.
        progress_timeout_s: how long the memory that remains may fail to become less than ever before, as oVirt
            counts it; None for ever.
        timeout_action: what happens when either time is up.
        downtime_ceiling_ms: Kedge chooses no higher downtime limit than that.
        schedule: what is done after how many rounds without progress.
        share_mib: what the operation that it belongs to lets it have of its bandwidth, in MiB/s; 0 for no limit.
        complete_now: let the VM stand still until the rest is copied, without waiting for it to become little.
        connections: over so many connections at once (QEMU's multifd); 0 for the one of an ordinary transfer.
        compression: on these connections, `zstd` or none ("").
        compression_level: 1, the fastest, to 20; QEMU's own choice without.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    downtime_limit_ms: int | None = None
    bandwidth_mib: int = 0
    auto_converge: bool = False
    completion_timeout_s: float | None = None
    progress_timeout_s: float | None = 240.0
    timeout_action: TimeoutAction = TimeoutAction.ABORT
    downtime_ceiling_ms: int = 2000
    schedule: tuple[StallStep, ...] = ()
    share_mib: int = 0
    complete_now: bool = False
    connections: int = 0
    compression: str = ""
    compression_level: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout_action", TimeoutAction(self.timeout_action))
        object.__setattr__(self, "schedule", schedule_of(self.schedule))
        for name in ("completion_timeout_s", "progress_timeout_s"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; give a time in seconds, or none for no limit")
        for name in ("bandwidth_mib", "share_mib"):
            if not 0 <= getattr(self, name) <= MOST_MIB:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; give a number of MiB/s up to {MOST_MIB}, or 0"
                )
        for name in ("downtime_limit_ms", "downtime_ceiling_ms"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST_DOWNTIME_MS:
                raise ValueError(f"{name} is {value}; give a number from 1 to {MOST_DOWNTIME_MS}")
        self._check_connections()

    def _check_connections(self) -> None:
        if not 0 <= self.connections <= MOST_CONNECTIONS:
            raise ValueError(f"connections is {self.connections}; give a number up to {MOST_CONNECTIONS}")
        if self.compression not in COMPRESSIONS:
            raise ValueError(f"compression is {self.compression!r}; it can be zstd")
        if self.compression and not self.connections:
            raise ValueError("compression is done on parallel connections; give connections, too")
        if self.compression and self.may_go_over:
            raise ValueError("compression and post-copy can't be had together; choose one of them")
        if self.compression_level is not None:
            if not self.compression:
                raise ValueError("compression_level is for compression; give compression, too")
            if not 1 <= self.compression_level <= MOST_LEVEL:
                raise ValueError(
                    f"compression_level is {self.compression_level}; give a number from 1 to {MOST_LEVEL}"
                )

    @property
    def may_go_over(self) -> bool:
        """It may end in post-copy. QEMU must know that when the transfer begins."""
        return self.timeout_action is TimeoutAction.POST_COPY or any(
            each.do is StallAction.POST_COPY for each in self.schedule
        )

    @property
    def rate_mib(self) -> int:
        """The limit of the transfer rate that holds, in MiB/s; 0 for none."""
        return min((each for each in (self.bandwidth_mib, self.share_mib) if each), default=0)


@dataclass(frozen=True)
class MigrationChange:
    """What a person changes of a migration under way; None is left as it is.

    Attributes:
        bandwidth_mib: in MiB/s, 0 for no limit.
        downtime_limit_ms: from now on Kedge no longer chooses it.
        policy: the name of one that holds from now on, as far as a running transfer can heed it.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    bandwidth_mib: int | None = None
    downtime_limit_ms: int | None = None
    policy: str | None = None

    def applied(self, options: MigrationOptions) -> MigrationOptions:
        """The options with its limits. Raises ValueError."""
        if self.bandwidth_mib is not None:
            options = replace(options, bandwidth_mib=self.bandwidth_mib)
        if self.downtime_limit_ms is not None:
            options = replace(options, downtime_limit_ms=self.downtime_limit_ms)
        return options


@dataclass(frozen=True)
class TimelineEntry:
    """Something that happened, with its time in ns of the control plane's real-time clock."""

    phase: str
    at_ns: int
    detail: Mapping[str, Any] = field(default_factory=dict)


class Sign(StrEnum):
    """What a VM was heard by: a frame that it sent of itself, or its answer to an agent."""

    FRAME = "frame"
    ANSWER = "answer"


@dataclass(frozen=True)
class Migration:
    """A migration as it stands. What could not be measured is None, never a configured limit.

    Attributes:
        guest_downtime_ms: how long the VM stood still, as QEMU measured it.
        network_blackout_ms: from when the VM was heard last on the source's devices to when it was heard first on the
            destination's, the longest over its ports; at most that, as a VM may also have been silent.
        network_blackout_between: what it was heard by last, and then first. An answer is one to the agents of both
            hosts, which ask a VM around the pause whether it is there, 200 times a second.
        progress: `JobProgress` as a mapping, while memory is copied.
        candidates: the hosts that are tried next, in this order, should it fail.
        next_id: the migration that tries the first of them, once it has failed.
    """

    id: str
    server_id: str
    source: str
    destination: str
    status: MigrationStatus
    options: MigrationOptions = field(default_factory=MigrationOptions)
    abort_requested: bool = False
    error: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    total_ms: float | None = None
    guest_downtime_ms: float | None = None
    network_blackout_ms: float | None = None
    network_blackout_between: tuple[Sign, Sign] | None = None
    progress: Mapping[str, Any] | None = None
    timeline: tuple[TimelineEntry, ...] = ()
    candidates: tuple[str, ...] = ()
    next_id: str | None = None


@dataclass(frozen=True)
class PortPlan:
    """What a migration would do with one port; `obstacle` says why it can't."""

    port_id: str
    mac_address: str
    network: str
    source_binding: Binding | None
    destination_binding: Binding | None
    plug: str = ""
    obstacle: str | None = None


@dataclass(frozen=True)
class Plan:
    """A migration that was thought through and not made: nothing is stored or plugged for it.

    Attributes:
        obstacles: what is in the way, as sentences.
        obstacle_details: the same, in the same order, for programs.
        notes: what somebody should know of the move although it keeps nothing from moving.
    """

    server: Server
    source: str
    destination: str
    ports: tuple[PortPlan, ...]
    obstacles: tuple[str, ...]
    obstacle_details: tuple[Obstacle, ...] = ()
    notes: tuple[str, ...] = ()
    xml_before: str = ""
    xml_after: str = ""
    xml_diff: str = ""

    @property
    def possible(self) -> bool:
        """Nothing stands in the way."""
        return not self.obstacles
