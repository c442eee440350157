"""What one host can be seen to hold of a server: its domain, libvirt's job on it, and its VIFs.

These are the facts that decisions about a migration are made from. `HostView` is what an agent answers
when it is asked to observe; nothing in it is remembered from an earlier order except `transfer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DomainState(StrEnum):
    """A server's domain on one host (libvirt's virDomainState and its reasons, as far as they matter here)."""

    ABSENT = "absent"
    SHUTOFF = "shutoff"  # defined, not running
    RUNNING = "running"
    PAUSED = "paused"  # by a person or an I/O error, not by a migration
    INCOMING = "incoming"  # destination: QEMU waits for, or receives, the VM's state
    SWITCHOVER = "switchover"  # source: paused because a migration is handing the VM over
    POSTCOPY_SOURCE = "postcopy-source"  # source: the VM already runs on the other side
    POSTCOPY_BROKEN = (
        "postcopy-broken"  # source: the same, and the memory that is still here does not get there
    )
    POSTCOPY_DESTINATION = "postcopy-destination"  # destination: runs while memory still arrives
    CRASHED = "crashed"


class TransferState(StrEnum):
    """What the source's agent knows of the transfer it was ordered to start for a migration."""

    NONE = "none"
    RUNNING = "running"
    FAILED = "failed"
    SUCCEEDED = "succeeded"


class VifState(StrEnum):
    """A VIF on a host. BUILD: all is wired but the device, which the hypervisor makes, is not there yet."""

    ABSENT = "absent"
    BUILD = "build"
    UP = "up"


@dataclass(frozen=True)
class VifReport:
    """A VIF that Kedge made on a host, found by the marks on its devices."""

    port_id: str
    state: VifState
    devices: tuple[str, ...]


@dataclass(frozen=True)
class JobProgress:
    """libvirt's job statistics (virDomainGetJobStats); sizes in bytes, times in ms, rates in bytes/s."""

    elapsed_ms: int = 0
    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    memory_bps: int = 0
    dirty_pages_per_second: int = 0
    page_size: int = 4096
    iteration: int = 0
    downtime_ms: int | None = None  # measured by QEMU, there once the job is complete


@dataclass(frozen=True)
class FrameTimes:
    """When the VM's own frames were seen on its VIF's device, in ns of this host's real-time clock."""

    first_ns: int | None = None
    last_ns: int | None = None
    frames: int = 0


@dataclass(frozen=True)
class HostView:
    """One look at a host, about one server.

    `vifs` has an entry for each port asked about, and so has `macs`, if they were asked for: the MACs that the
    guest was heard to send as on its NIC. `frames` has what the VM sent of itself, `answers` what it answered when the
    agent asked it for its addresses. `now_ns` is the host's real-time clock when it looked.
    """

    domain: DomainState = DomainState.ABSENT
    persistent: bool = False
    job: bool = False
    transfer: TransferState = TransferState.NONE
    transfer_error: str | None = None
    progress: JobProgress | None = None
    completed: JobProgress | None = None
    paused_at_ns: int | None = None  # when libvirt reported the source paused for the switchover
    resumed_at_ns: int | None = None  # when libvirt reported the VM running here
    vifs: Mapping[str, VifState] = field(default_factory=dict)
    macs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    frames: Mapping[str, FrameTimes] = field(default_factory=dict)
    answers: Mapping[str, FrameTimes] = field(default_factory=dict)
    now_ns: int = 0


@dataclass(frozen=True)
class DomainSummary:
    """A domain in a host's list."""

    uuid: str
    name: str
    state: DomainState
    persistent: bool


@dataclass(frozen=True)
class TransferOrder:
    """What a source agent needs to start a live migration.

    Attributes:
        epoch: grows with every conductor that takes the migration over; an older one is refused.
        libvirt_uri: the destination libvirtd, as the source's libvirtd connects to it.
        migrate_uri: where QEMU's migration stream goes.
        destination_xml: given to libvirt both as destination XML and as persistent XML.
        downtime_limit_ms: what QEMU may plan for; never shown as a measurement.
        bandwidth_mib: limit of the transfer rate in MiB/s, 0 for none.
        auto_converge: let QEMU slow the guest's CPUs down when memory is dirtied too fast.
        postcopy: allow a later switch to post-copy.
        recover: go on with a post-copy transfer that broke off, instead of starting one.
        connections, compression, compression_level: as of `MigrationOptions`.
    """

    migration_id: str
    server_id: str
    epoch: int
    libvirt_uri: str
    migrate_uri: str
    destination_xml: str
    downtime_limit_ms: int = 30
    bandwidth_mib: int = 0
    auto_converge: bool = False
    postcopy: bool = False
    recover: bool = False
    connections: int = 0
    compression: str = ""
    compression_level: int | None = None
