"""What the doctor can find, and what can be done about it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is. A NOTE is worth knowing and breaks nothing by itself."""

    CRITICAL = "critical"  # a VM, or its disk, is in danger
    ERROR = "error"  # a VM does not do what it should, or can't be moved
    WARNING = "warning"  # something is left over, or will be in the way
    NOTE = "note"


class Kind(StrEnum):
    """Everything that the doctor looks for."""

    # Where a server is.
    SERVER_ELSEWHERE = "server-elsewhere"
    RUNS_TWICE = "runs-twice"
    DOMAIN_NOWHERE = "domain-nowhere"
    WHEREABOUTS_UNKNOWN = "whereabouts-unknown"
    STATUS_DIFFERS = "status-differs"
    STUCK_MIGRATING = "stuck-migrating"
    STUCK_BUILDING = "stuck-building"
    MOVED_BY_OTHERS = "moved-by-others"
    UNDRIVEN_MIGRATION = "undriven-migration"
    # What a migration may have left.
    HALF_MADE_DOMAIN = "half-made-domain"
    LEFT_PAUSED = "left-paused"
    LEFTOVER_DEFINITION = "leftover-definition"
    # Bindings.
    NO_ACTIVE_BINDING = "no-active-binding"
    BOUND_ELSEWHERE = "bound-elsewhere"
    BINDING_FAILED = "binding-failed"
    BINDING_OF_ENDED_MIGRATION = "binding-of-ended-migration"
    BINDING_OF_NO_MIGRATION = "binding-of-no-migration"
    BINDING_ON_UNKNOWN_HOST = "binding-on-unknown-host"
    BINDING_OUTDATED = "binding-outdated"
    NETWORK_UNMAPPED = "network-unmapped"
    PORT_OF_UNKNOWN_SERVER = "port-of-unknown-server"
    # VIFs and NICs.
    VIF_UNEXPLAINED = "vif-unexplained"
    VIF_NOT_WIRED = "vif-not-wired"
    NIC_WITHOUT_PORT = "nic-without-port"
    PORT_WITHOUT_NIC = "port-without-nic"
    MAC_DIFFERS = "mac-differs"
    # Hosts.
    AGENT_DEAD = "agent-dead"
    AGENT_SILENT = "agent-silent"
    CLOCK_DIFFERS = "clock-differs"
    VERSION_DIFFERS = "version-differs"
    LIBVIRT_DIFFERS = "libvirt-differs"
    HOST_RENAMED = "host-renamed"
    HOST_FORCED_DOWN = "host-forced-down"
    # Others.
    EVENTS_UNSENT = "events-unsent"


class Remedy(StrEnum):
    """What a repair does. None of them starts, stops or moves a VM; RESUME lets one run that a migration paused."""

    SETTLE = "settle"  # a migration that moves nothing, and by its own decisions cleans up behind itself
    DRIVE = "drive"
    RECORD_STATUS = "record-status"
    RECORD_HOST = "record-host"
    BIND = "bind"
    UNBIND = "unbind"
    PLUG = "plug"
    UNPLUG = "unplug"
    RESUME = "resume"
    FREE_PORT = "free-port"


@dataclass(frozen=True)
class Repair:
    """A repair, in the words of its remedy; what the remedy does not need is "".

    Attributes:
        host: where it is done; of SETTLE, the source of the migration that moves nothing.
        destination: of that migration. It runs `kedge.core.migration.decide` with its abort asked for from the
            beginning: the VM stays on whichever of both hosts it is, and the other is cleaned.
        status: what RECORD_STATUS writes down.
    """

    remedy: Remedy
    server_id: str = ""
    port_id: str = ""
    host: str = ""
    destination: str = ""
    migration_id: str = ""
    status: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        subject: the thing that it is about.
        host: where; "" if that is nowhere in particular.
        words: what is wrong and what to do about it, for a person.
        repair: what `--repair` does; None if that is for a person to decide.
    """

    kind: Kind
    severity: Severity
    subject: str
    host: str
    words: str
    repair: Repair | None = None

    @property
    def identity(self) -> tuple[Kind, str, str]:
        """What makes two findings of different looks the same."""
        return (self.kind, self.subject, self.host)
