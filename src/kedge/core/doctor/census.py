"""What the doctor was shown: the database's word and each host's own, as they were at about the same time.

A host that did not answer has no domains here, and that says nothing: what may be on it is unknown, not absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.core.domain_xml import Attachment
from kedge.model.domain import DomainState, VifReport, VifState
from kedge.model.host import Host
from kedge.model.network import Binding, BindingStatus, Network, Port
from kedge.model.server import Server


@dataclass(frozen=True)
class DomainSeen:
    """A domain on a host.

    Attributes:
        job: libvirt has a migration job on it.
        nics: its interfaces, if it is live; None if its XML could not be read.
        vifs: the state of the VIF of each port that is bound on this host, for a server that Kedge knows.
    """

    uuid: str
    name: str
    state: DomainState
    job: bool = False
    nics: tuple[Attachment, ...] | None = ()
    vifs: Mapping[str, VifState] = field(default_factory=dict)


@dataclass(frozen=True)
class HostSeen:
    """A host as the database knows it, and what it said itself.

    Attributes:
        answers: its agent answered every question; if not, `silence` says why.
        plugged: the VIFs that Kedge made there.
        explained: the ports with a binding there; None if that can't be told now.
        clock_ahead_s: how far its clock is ahead of ours; None if that was not measured.
        clock_error_s: the most by which that may be wrong.
        version: of its agent; "" if it does not say.
    """

    host: Host
    answers: bool = True
    silence: str = ""
    domains: tuple[DomainSeen, ...] = ()
    plugged: tuple[VifReport, ...] = ()
    explained: frozenset[str] | None = frozenset()
    clock_ahead_s: float | None = None
    clock_error_s: float = 0.0
    version: str = ""

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name


@dataclass(frozen=True)
class BoundPort:
    """A port with its network and all its bindings."""

    port: Port
    network: Network
    bindings: tuple[Binding, ...] = ()

    @property
    def active(self) -> Binding | None:
        """The ACTIVE binding."""
        return next((each for each in self.bindings if each.status is BindingStatus.ACTIVE), None)

    def on(self, host: str) -> Binding | None:
        """The binding on a host."""
        return next((each for each in self.bindings if each.host == host), None)


@dataclass(frozen=True)
class ServerSeen:
    """A server with its ports. `unchanged_s` is how long ago its record was written to."""

    server: Server
    ports: tuple[BoundPort, ...] = ()
    unchanged_s: float = 0.0


@dataclass(frozen=True)
class Unfinished:
    """A migration that has not ended. `driven`: a conductor has claimed it."""

    id: str
    server_id: str
    source: str
    destination: str
    driven: bool


@dataclass(frozen=True)
class Census:
    """One look at everything.

    Attributes:
        moving: servers that were changed, or whose migration was, while this look was taken, and those that are
            being rewired.
        finished: the ids of the migrations that have ended.
        strays: ports of servers that Kedge made them for and does not know.
        unsent: how many events Nova has not taken yet, and `unsent_s` how old the oldest of them is.
        epoch: the newest of all migrations and rewirings. Orders that follow from this look carry it, so that agents
            refuse them once a later one has begun there.
        version: our own.
    """

    servers: tuple[ServerSeen, ...] = ()
    hosts: tuple[HostSeen, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    moving: frozenset[str] = frozenset()
    finished: frozenset[str] = frozenset()
    strays: tuple[BoundPort, ...] = ()
    unsent: int = 0
    unsent_s: float = 0.0
    epoch: int = 0
    version: str = ""

    def host(self, name: str) -> HostSeen | None:
        """The host of this name; None if none ever reported under it."""
        return next((each for each in self.hosts if each.name == name), None)

    def is_renamed(self, name: str) -> bool:
        """Whether another host's agent listens where this one's did. Asked, it would answer for that other host."""
        seen = self.host(name)
        if seen is None or not seen.host.url:
            return False
        return any(each.host.url == seen.host.url and each is not seen for each in self.hosts)

    @property
    def silent(self) -> tuple[str, ...]:
        """The hosts that did not answer."""
        return tuple(each.name for each in self.hosts if not each.answers)

    @property
    def at_rest(self) -> tuple[ServerSeen, ...]:
        """The servers that nobody moves or changes: only of these it can be said that something is wrong."""
        busy = self.moving | {each.server_id for each in self.unfinished}
        return tuple(each for each in self.servers if each.server.id not in busy)
