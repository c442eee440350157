"""The messages between the control plane and the agents; the README of both sides of that wire.

Control plane to agent (the agent serves; mutual TLS; only a `control` certificate is let in):

    GET    /v1/host                          -> HostReport
    POST   /v1/facts                         FactsRequest -> HostFacts   asked when a migration is planned
    GET    /v1/domains                       -> [DomainSummary]
    GET    /v1/network                       -> HostNetwork           how its devices hang together
    GET    /v1/domains/{uuid}/xml            -> {"xml": …}           ?migratable=1 for the text that migrates
    PUT    /v1/domains/{uuid}                {"xml": …}              define and start; a running one is left alone
    DELETE /v1/domains/{uuid}                                        destroy and undefine (a server's deletion)
    POST   /v1/domains/{uuid}/discard        DiscardOrder            remove what a migration left here, with its guard
    POST   /v1/domains/{uuid}/resume         ResumeOrder             run again a VM that a dead migration left paused
    POST   /v1/domains/{uuid}/observe        ObserveRequest          -> HostView
    PUT    /v1/transfers/{migration_id}      TransferOrder           start; starting a running one changes nothing
    PATCH  /v1/transfers/{migration_id}      TransferTuning
    DELETE /v1/transfers/{migration_id}      ?epoch=N[&server=UUID]  abort
    GET    /v1/vifs                          -> [VifReport]
    PUT    /v1/vifs/{port_id}                PlugOrder               plug and wire, silent
    DELETE /v1/vifs/{port_id}                ?epoch=N                unplug whatever Kedge made here for the port
    POST   /v1/vifs/{port_id}/announce       AnnounceOrder           RARP, gratuitous ARP, unsolicited NA, repeated

Agent to control plane (the control plane serves; an agent's certificate names its host, and it can
speak for no other):

    POST   /agent/v1/hosts/{host}/report     HostReport              -> HostDuties
    POST   /agent/v1/hosts/{host}/heartbeat  ?report=ID              -> true, or false if a report is wanted

As long as a report would say the same as the last one that was answered, and the answer had `heartbeats`, an agent
sends a heartbeat with that report's `id` in its place. `true` means that the duties are the same, too.

All of these are idempotent: the same call again, after a lost answer, does no harm and answers the same.
An error is `{"error": {"type": "HostFailure", "message": …}}` with the status of `kedge.model.errors`.

Every request says in the header `kedge-wire` which `WIRE` its sender speaks. Either side refuses another one, and
does nothing of what was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kedge.model.domain import DomainState, VifState
from kedge.model.host import HostBackend
from kedge.model.network import Vif

WIRE = 1
"""The version of these messages. It grows when an older agent or control plane would misread them."""


@dataclass(frozen=True)
class HostReport:
    """What an agent says of its host: at start, and at once when something of it changes.

    `running` lists the UUIDs of domains that are not shut off here. `vifs` are the VIFs that Kedge made
    here, and the state of each VIF that the last `HostDuties` named. `domains` has every domain of
    the host, Kedge's or not, by UUID; it is empty while libvirtd does not answer. `half_made` lists those whose
    making the agent has begun and not ended. `version` is Kedge's own, `now_ns` the host's real-time clock.
    `graphics_address` is where VMs' consoles listen on this host, unless on every address or loopback.
    `id` is this report's and no other's; without one, no heartbeat can refer to it.
    """

    host: str
    url: str
    backends: tuple[HostBackend, ...]
    libvirt_uri: str
    migrate_uri: str
    libvirt_version: int = 0
    vifs: Mapping[str, VifState] = field(default_factory=dict)
    running: tuple[str, ...] = ()
    domains: Mapping[str, DomainState] = field(default_factory=dict)
    half_made: tuple[str, ...] = ()
    version: str = ""
    wire: int = WIRE
    now_ns: int = 0
    graphics_address: str = ""
    id: str = ""


@dataclass(frozen=True)
class DiscardOrder:
    """Remove a domain that a migration left on a host.

    The agent refuses (Conflict) unless the domain's state is one of `only_in`, which it checks under the same
    lock as it acts: a running VM is never destroyed by an order that was decided on an older view.
    """

    only_in: tuple[DomainState, ...]
    epoch: int = 0


@dataclass(frozen=True)
class HostDuties:
    """The control plane's answer to a report: every VIF that a binding on this host explains.

    `known` is False when the network service could not be asked; then nothing follows from the rest.
    `discard` has, by UUID, the domains among those reported that nobody needs: no migration involves them, and
    the server is on another host. The agent removes one that is named for a while and stays as it is.
    `heartbeats` is True when this answer can be confirmed by them.
    """

    vifs: tuple[Vif, ...] = ()
    report_every_s: float = 2.0
    known: bool = True
    discard: Mapping[str, DiscardOrder] = field(default_factory=dict)
    heartbeats: bool = False


@dataclass(frozen=True)
class ObserveRequest:
    """Asks for a `HostView`. `wait_ms` > 0 answers only when something changes from `seen`, or when time is up.

    `check_vifs` says whether the VIFs are looked at too: that takes a while on a switch, and nothing depends
    on it while memory is copied. `macs` asks for the MACs that the guest sends as. `seen` is a
    `HostView.domain`/`job`/`transfer` triple as the caller last saw it. `watch` starts the watching of the VM's
    frames on these VIFs' devices, which the view's `frames` report.
    """

    vifs: tuple[Vif, ...] = ()
    migration_id: str | None = None
    watch: bool = False
    check_vifs: bool = True
    macs: bool = False
    wait_ms: int = 0
    seen: str = ""


@dataclass(frozen=True)
class PlugOrder:
    """Plug this VIF. `queues` is the NIC's number of queue pairs (a tap is made multi-queue if over 1)."""

    vif: Vif
    epoch: int = 0
    queues: int = 1


@dataclass(frozen=True)
class AnnounceOrder:
    """Announce the VM from this host. Frames go out at once and then `repeat - 1` times, `interval_ms` apart."""

    vif: Vif
    repeat: int = 5
    interval_ms: int = 150


@dataclass(frozen=True)
class ResumeOrder:
    """Resume a VM that is paused for a migration which no longer exists."""

    epoch: int = 0


@dataclass(frozen=True)
class TransferTuning:
    """Change a running transfer. `postcopy` starts its post-copy phase, if its order allowed that."""

    epoch: int
    downtime_limit_ms: int | None = None
    bandwidth_mib: int | None = None
    postcopy: bool = False


__all__ = [
    "WIRE",
    "AnnounceOrder",
    "DiscardOrder",
    "HostDuties",
    "HostReport",
    "ObserveRequest",
    "PlugOrder",
    "ResumeOrder",
    "TransferTuning",
]
