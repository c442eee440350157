"""The messages between the control plane and the agents; the README of both sides of that wire.

Control plane to agent (the agent serves; mutual TLS; only a `control` certificate is let in):

    GET    /v1/host                          -> HostReport
    POST   /v1/facts                         FactsRequest -> HostFacts   asked when a place is looked for
    GET    /v1/domains                       -> [DomainSummary]
    GET    /v1/network                       -> HostNetwork           how its devices hang together
    GET    /v1/domains/{uuid}/xml            -> {"xml": …}           ?migratable=1 for the text that migrates
    PUT    /v1/domains/{uuid}                {"xml": …}              define and start; a running one is left alone
    DELETE /v1/domains/{uuid}                                        destroy and undefine (a server's deletion)
    POST   /v1/domains/{uuid}/discard        DiscardOrder            remove what a migration left here, with its guard
    POST   /v1/domains/{uuid}/resume         ResumeOrder             run again a VM that a dead migration left paused
    POST   /v1/domains/{uuid}/observe        ObserveRequest          -> HostView
    POST   /v1/domains/{uuid}/departure      DepartureRequest -> Departure   all that a plan asks of the source
    POST   /v1/domains/{uuid}/arrival        FactsRequest -> Arrival     all that a plan asks of the destination
    PUT    /v1/transfers/{migration_id}      TransferOrder           start; starting a running one changes nothing
    PATCH  /v1/transfers/{migration_id}      TransferTuning
    DELETE /v1/transfers/{migration_id}      ?epoch=N[&server=UUID]  abort
    GET    /v1/vifs                          -> [VifReport]
    POST   /v1/vifs/plug                     PlugOrder -> VifResults    plug, wire and verify a server's, silent
    POST   /v1/vifs/unplug                   UnplugOrder -> VifResults  remove whatever Kedge made for these ports
    POST   /v1/vifs/sides                    SidesRequest -> {port id: Side}   in which of two switches each tap is
    POST   /v1/vifs/rewire                   RewireOrder -> RewireResults  one step of moving taps between switches
    POST   /v1/vifs/announce                 AnnounceOrder           RARP, gratuitous ARP, unsolicited NA, repeated

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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from kedge.model.domain import DomainState, VifReport, VifState
from kedge.model.errors import BadRequest, HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import Vif

WIRE = 3
"""The version of these messages. It grows when an older agent or control plane would misread them."""

MOST_VIFS = 128
"""An order is for so many VIFs at most; no machine type of QEMU has slots for as many NICs."""


@dataclass(frozen=True)
class HostReport:
    """What an agent says of its host: at start, and at once when something of it changes.

    `running` lists the UUIDs of domains that are not shut off here. `vifs` are the VIFs that Kedge made
    here, and the state of each VIF that the last `HostDuties` named. `domains` has every domain of
    the host, Kedge's or not, by UUID; it is empty while libvirtd does not answer. `half_made` lists those whose
    making the agent has begun and not ended. `version` is Kedge's own, `now_ns` the host's real-time clock.
    `graphics_address` is where VMs' consoles listen on this host, unless on every address or loopback.
    `migration_network` is the name of the network on which `migrate_uri` is, if somebody gave it one.
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
    migration_network: str = ""


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
    `heartbeats` is True when this answer can be confirmed by them. `staged` has, by port, how a VIF that is being
    rewired may be wired besides: as long as it is wired as either says, there is nothing to mend.
    """

    vifs: tuple[Vif, ...] = ()
    report_every_s: float = 2.0
    known: bool = True
    discard: Mapping[str, DiscardOrder] = field(default_factory=dict)
    heartbeats: bool = False
    staged: Mapping[str, Vif] = field(default_factory=dict)


@dataclass(frozen=True)
class ObserveRequest:
    """Asks for a `HostView`. `wait_ms` > 0 answers only when something changes from `seen`, or when time is up.

    `check_vifs` says whether the VIFs are looked at too: that takes a while on a switch, and nothing depends
    on it while memory is copied. `macs` asks for the MACs that the guest sends as. `seen` is a
    `HostView.domain`/`job`/`transfer` triple as the caller last saw it. `watch` starts the watching of the VM's
    frames on these VIFs' devices, which the view's `frames` report. Around the pause the agent then asks the VM for
    its addresses, too, and the view's `answers` report when it answered.
    """

    vifs: tuple[Vif, ...] = ()
    migration_id: str | None = None
    watch: bool = False
    check_vifs: bool = True
    macs: bool = False
    wait_ms: int = 0
    seen: str = ""


def _check_ports(port_ids: Sequence[str]) -> None:
    if len(port_ids) > MOST_VIFS:
        raise BadRequest(
            f"an order is for at most {MOST_VIFS} VIFs, and this one is for {len(port_ids)}; send several orders"
        )
    twice = sorted(port_id for port_id, count in Counter(port_ids).items() if count > 1)
    if twice:
        raise BadRequest(f"an order names each port once, and this one names {', '.join(twice)} more often")


@dataclass(frozen=True)
class PlugOrder:
    """Plug, wire and verify these VIFs, `MOST_VIFS` at most and each once (else BadRequest).

    `queues` has, by port, how many queue pairs its NIC has, unless one: a tap for more is made multi-queue.
    """

    vifs: tuple[Vif, ...]
    epoch: int = 0
    queues: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what can't be one order."""
        _check_ports([vif.port_id for vif in self.vifs])


@dataclass(frozen=True)
class UnplugOrder:
    """Remove whatever Kedge made on the host for these ports, `MOST_VIFS` at most and each once (else BadRequest)."""

    port_ids: tuple[str, ...]
    epoch: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be one order."""
        _check_ports(self.port_ids)


class Side(StrEnum):
    """Where the tap of a port is that is being rewired: as `Rewire.vif` says, as `other` says, in neither, or gone."""

    HERE = "here"
    THERE = "there"
    NOWHERE = "nowhere"
    GONE = "gone"


@dataclass(frozen=True)
class Rewire:
    """Two VIFs of one port on one host: how it is to be wired, and how it is or was."""

    vif: Vif
    other: Vif


@dataclass(frozen=True)
class SidesRequest:
    """Asks where the taps of these ports are."""

    ports: tuple[Rewire, ...]

    def __post_init__(self) -> None:
        """Refuse what can't be one request."""
        _check_ports([each.vif.port_id for each in self.ports])


class RewireStep(StrEnum):
    """What is done with each port: make its new side ready, move its tap there, or remove what is left of the other."""

    PREPARE = "prepare"
    MOVE = "move"
    LEAVE = "leave"


@dataclass(frozen=True)
class RewireOrder:
    """One step of rewiring these ports, `MOST_VIFS` at most and each once (else BadRequest)."""

    step: RewireStep
    ports: tuple[Rewire, ...]
    epoch: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be one order."""
        _check_ports([each.vif.port_id for each in self.ports])


@dataclass(frozen=True)
class RewireResults:
    """What became of a step. All ports were tried; each is either in `done` or in `failed`, which says why.

    `blackout_ms` has, by port whose tap was moved, for how long its VM had no switch.
    """

    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    blackout_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class VifResults:
    """What became of an order for VIFs. All of them were tried; each is either in `done` or in `failed`.

    `done` has each VIF as it was found after the order, from one look at the host. `failed` says by port why.
    """

    done: tuple[VifReport, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def complete(self) -> "VifResults":
        """These results, if all was done. Raises HostFailure, which says of each port that failed why it did."""
        if not self.failed:
            return self
        whole = len(self.done) + len(self.failed)
        why = "; ".join(f"port {port_id}: {reason}" for port_id, reason in sorted(self.failed.items()))
        raise HostFailure(f"{len(self.failed)} of {whole} VIFs failed: {why}" if whole > 1 else why)


@dataclass(frozen=True)
class AnnounceOrder:
    """Announce the VM from this host, on all of these VIFs, `MOST_VIFS` at most and each once (else BadRequest).

    Frames go out at once and then `repeat - 1` times, `interval_ms` apart.
    """

    vifs: tuple[Vif, ...]
    repeat: int = 5
    interval_ms: int = 150

    def __post_init__(self) -> None:
        """Refuse what can't be one order."""
        _check_ports([vif.port_id for vif in self.vifs])


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
    "MOST_VIFS",
    "WIRE",
    "AnnounceOrder",
    "DiscardOrder",
    "HostDuties",
    "HostReport",
    "ObserveRequest",
    "PlugOrder",
    "ResumeOrder",
    "Rewire",
    "RewireOrder",
    "RewireResults",
    "RewireStep",
    "Side",
    "SidesRequest",
    "TransferTuning",
    "UnplugOrder",
    "VifResults",
]
