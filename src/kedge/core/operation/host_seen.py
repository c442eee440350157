"""A host of a transition as it is seen, and what is done with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from kedge.model.host import Host, HostBackend
from kedge.model.operation import Outcome
from kedge.model.transition import CommandRun, Stage


class Wired(StrEnum):
    """How the ports of a server are wired: as before, as wanted, just going over, or not, as it failed.

    OFF: the server does not run, so nothing can be done with them.
    """

    OLD = "old"
    CHANGING = "changing"
    NEW = "new"
    FAILED = "failed"
    OFF = "off"


@dataclass(frozen=True)
class ServerWired:
    """A server on a host that is changed in place. `ours`: the operation may begin its rewiring, or has begun it."""

    wired: Wired
    why: str = ""
    ours: bool = True


@dataclass(frozen=True)
class HostSeen:
    """A host of a transition.

    Attributes:
        host: as its agent reported it last.
        trouble: what stopped it, until a person resumes it.
        before: the backends that it had when its turn came.
        since_command_s: how long ago its command ended.
        in_place: its servers stay on it.
        servers: those on it, once their ports go over to the new switch.
        silent: its agent does not answer then, so it is not known which of them are off.
    """

    host: Host
    stage: Stage = Stage.QUEUED
    trouble: str | None = None
    before: tuple[HostBackend, ...] = ()
    command: CommandRun | None = None
    since_command_s: float = 0.0
    in_place: bool = False
    servers: Mapping[str, ServerWired] = field(default_factory=dict)
    silent: bool = False

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name


class Act(StrEnum):
    """What is done with a host: nothing, another stage, its command is run, a port is tried, it is in trouble.

    Or servers are rewired, or rewirings that run are aborted.
    """

    WAIT = "wait"
    ENTER = "enter"
    RUN = "run"
    TRY = "try"
    STOP = "stop"
    REWIRE = "rewire"
    TAKE_BACK = "take back"


@dataclass(frozen=True)
class Step:
    """One thing that is done with a host, and `servers`; `why` says what it waits for, or what the trouble is.

    `planned` says where each of its servers finds room, if they have to leave it.
    """

    act: Act
    why: str = ""
    stage: Stage | None = None
    servers: tuple[str, ...] = ()
    planned: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Advance:
    """What is done with each host.

    Attributes:
        halt: nothing goes on any more before a person has mended what is in trouble.
        short: a host's servers fit nowhere in the fleet as far as it was looked at.
        wake_s: when the next host's turn may come, in s since 1970, if it waits for a time.
    """

    steps: Mapping[str, Step] = field(default_factory=dict)
    outcome: Outcome | None = None
    halt: bool = False
    short: bool = False
    wake_s: float | None = None
