"""A transition: hosts that change their network backend, in place or each emptied before and filled again after."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .errors import BadRequest
from .host import Host, HostBackend
from .server import UNKNOWN_REFUSED

MOST_HOSTS = 10_000
LONGEST_CHANGE_S = 86_400


class Way(StrEnum):
    """How hosts are changed. AUTO: in place where that can be, and by moves elsewhere."""

    AUTO = "auto"
    IN_PLACE = "in-place"
    MOVES = "moves"


@dataclass(frozen=True)
class Transition:
    """What is wanted of a transition.

    Attributes:
        hosts: the hosts, in the order in which their turns come.
        to_backend: the driver that their agents shall report.
        mappings: what shall carry physical networks there, `{"physnet1": "eth3"}`; without, whatever the agent says.
        run: the configured command that changes a host. Without one, a person does it, and the operation waits.
        way: whether servers are moved away and back, or their ports are moved to another switch of their host.
        change_s: for how many s each host is changed, as who wants it knows; only for the prediction.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    hosts: tuple[str, ...]
    to_backend: str
    mappings: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    way: Way = Way.AUTO
    change_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be done. Raises BadRequest."""
        if not self.hosts:
            raise BadRequest("Name the hosts of the transition.")
        if not self.to_backend:
            raise BadRequest("Say which backend the hosts shall have: openvswitch, linuxbridge or macvtap.")
        if len(self.hosts) > MOST_HOSTS:
            raise BadRequest(f"A transition has at most {MOST_HOSTS} hosts, and this one {len(self.hosts)}.")
        twice = sorted(name for name, count in Counter(self.hosts).items() if count > 1)
        if twice:
            raise BadRequest(f"Name each host once; {', '.join(twice)} is there more often.")
        if self.change_s is not None and not 0 <= self.change_s <= LONGEST_CHANGE_S:
            raise BadRequest(
                f"change_s is {self.change_s:g}; give the s that changing a host takes, a day at most."
            )

    def is_met_by(self, host: Host) -> bool:
        """The host's agent reports what is wanted."""
        return any(
            each.driver == self.to_backend and self.mappings.items() <= dict(each.mappings).items()
            for each in host.backends
            if each.driver not in host.disabled
        )

    def __str__(self) -> str:
        return backend_in_words(self.to_backend, self.mappings)


class Stage(StrEnum):
    """How far a host is. Only one that is changed in place is at REWIRING, and it is never emptied nor returned to."""

    QUEUED = "queued"
    EMPTYING = "emptying"
    CONVERTING = "converting"
    VERIFYING = "verifying"
    RETURNING = "returning"
    REWIRING = "rewiring"
    DONE = "done"

    @property
    def is_under_way(self) -> bool:
        """The host's turn has come, and it is not done."""
        return self not in {Stage.QUEUED, Stage.DONE}

    @property
    def takes_nobody(self) -> bool:
        """No server may come to the host."""
        return self in {Stage.EMPTYING, Stage.CONVERTING, Stage.VERIFYING}


class CommandState(StrEnum):
    """What became of a command. LOST: the process that ran it ended first, so nobody knows."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class CommandRun:
    """A command that was run to change a host.

    `on` is the machine that it ran on, `why` says how it failed, `output` is the end of what it said.
    """

    id: str
    on: str
    state: CommandState
    why: str = ""
    output: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True)
class LogLine:
    """Something that happened to a host of a transition."""

    at: datetime
    what: str


@dataclass(frozen=True)
class TransitionHost:
    """A host of a transition as it stands.

    `trouble` is what stopped it, until a person resumes the operation; `why` what it waits for. `before` has the
    backends that it had when its turn came. `in_place`: its servers stay, and their ports go over to another switch.
    """

    host: str
    stage: Stage
    in_place: bool = False
    trouble: str | None = None
    why: str = ""
    before: tuple[HostBackend, ...] = ()
    command: CommandRun | None = None
    log: tuple[LogLine, ...] = ()


def backend_in_words(driver: str, mappings: Mapping[str, str]) -> str:
    """Like "macvtap (physnet1: eth3)"."""
    carried = ", ".join(f"{physical}: {device}" for physical, device in sorted(mappings.items()))
    return f"{driver} ({carried})" if carried else driver


def reported_in_words(host: Host) -> str:
    """What a host's agent reports, like "linuxbridge (physnet1: eth1) and macvtap"."""
    return (
        " and ".join(backend_in_words(each.driver, each.mappings) for each in host.backends) or "no backend"
    )
