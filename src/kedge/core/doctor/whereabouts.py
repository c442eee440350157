"""Where one server is, as far as that was seen."""

from dataclasses import dataclass
from functools import cached_property

from kedge.model.domain import DomainState
from kedge.model.network import VifType
from kedge.model.server import Server

from .census import BoundPort, Census, DomainSeen, HostSeen, ServerSeen

RUNS = frozenset({DomainState.RUNNING, DomainState.PAUSED, DomainState.POSTCOPY_DESTINATION})
"""The VM is this host's: it runs here, or a person paused it here."""

HELD = frozenset({DomainState.SWITCHOVER, DomainState.POSTCOPY_SOURCE, DomainState.POSTCOPY_BROKEN})
"""A migration paused the VM here to hand it over."""

STOPPED = frozenset({DomainState.SHUTOFF, DomainState.CRASHED})

UNBOUND = frozenset({VifType.UNBOUND, VifType.BINDING_FAILED})


@dataclass(frozen=True)
class Place:
    """A host that holds a domain of the server."""

    host: HostSeen
    domain: DomainSeen

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name

    @property
    def state(self) -> DomainState:
        """The domain's state."""
        return self.domain.state


class Whereabouts:
    """Where a server's domain is."""

    def __init__(self, census: Census, seen: ServerSeen) -> None:
        self.census = census
        self.seen = seen
        self.server: Server = seen.server
        self.ports: tuple[BoundPort, ...] = seen.ports
        self.places = tuple(
            Place(host, domain)
            for host in census.hosts
            for domain in host.domains
            if domain.uuid == seen.server.id and domain.state is not DomainState.ABSENT
        )

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"server {self.server.name}"

    @cached_property
    def running(self) -> tuple[Place, ...]:
        """Where it runs; more than one is a catastrophe."""
        return tuple(place for place in self.places if place.state in RUNS)

    @property
    def home(self) -> Place | None:
        """The one host that runs it."""
        return self.running[0] if len(self.running) == 1 else None

    def others(self, place: Place) -> list[Place]:
        """The other hosts that hold a domain of it."""
        return [each for each in self.places if each is not place]

    @property
    def recorded(self) -> HostSeen | None:
        """The host that it is recorded on."""
        return self.census.host(self.server.host)

    def can_be_settled_with(self, host: str) -> bool:
        """Whether `decide` comes to an end with this host on the other side: it must answer, or count as dead."""
        seen = self.census.host(host)
        if seen is None or self.census.is_renamed(host):
            return False
        return seen.answers or not seen.host.alive

    def is_gone(self, host: str) -> bool:
        """Whether there is no host of this name any more, so that nothing can be asked or told under it."""
        seen = self.census.host(host)
        return seen is None or (not seen.host.alive and self.census.is_renamed(host))

    @property
    def moved_by_others(self) -> bool:
        """libvirt is migrating it, and no migration of Kedge's is under way."""
        return any(place.domain.job and place.state in RUNS | HELD for place in self.places)

    @property
    def seat(self) -> str | None:
        """The host that its ports belong on; None if that can't be told."""
        if self.home is not None:
            return self.home.name
        if self.running or self.census.silent or any(place.state in HELD for place in self.places):
            return None
        return self.server.host if self.recorded is not None else None

    def bound_on(self, host: str) -> bool:
        """Whether every port has a good ACTIVE binding on this host."""
        return all(
            port.active is not None and port.active.host == host and port.active.vif_type not in UNBOUND
            for port in self.ports
        )
