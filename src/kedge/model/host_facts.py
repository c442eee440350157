"""What a host says of itself when a plan asks: its abilities, and the files that a domain uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .domain import DomainSummary

MOST_FILES = 512
"""So many paths a `FactsRequest` may name. A domain has a few; libvirt itself takes XML of any size."""

LONGEST_PATH = 4096
"""PATH_MAX of Linux, in bytes."""


MOST_MEASURED = 128
"""So many servers of a host are measured at once."""

LONGEST_MEASURE_S = 60
"""libvirt measures for no longer (MAX_DIRTY_RATE_CALC_PERIOD)."""


class FileKind(StrEnum):
    """What a path leads to, symbolic links followed."""

    MISSING = "missing"
    FILE = "file"
    DIRECTORY = "directory"
    BLOCK = "block device"
    OTHER = "special file"


@dataclass(frozen=True)
class FileFacts:
    """A path on one host.

    Attributes:
        kind: what it leads to.
        filesystem: its type as the kernel's mountinfo names it (`ext4`, `nfs4`), "" where it can't be told.
        device: the file system on this machine (st_dev), as `major:minor`. It says nothing on another machine.
        inode: st_ino; a file server gives all its clients the same one.
        size: in bytes, also of a block device; 0 where it can't be told.
        serial: what identifies a block device on any machine (WWID, device-mapper UUID), "" if nothing does.
    """

    kind: FileKind = FileKind.MISSING
    filesystem: str = ""
    device: str = ""
    inode: int = 0
    size: int = 0
    serial: str = ""


@dataclass(frozen=True)
class Volume:
    """A volume in one of libvirt's storage pools."""

    pool: str
    name: str

    @property
    def key(self) -> str:
        """By which `HostFacts.files` has it."""
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True)
class MachineWanted:
    """The virtual machine that a host is to run, in the words of a domain XML: `x86_64`, `pc-q35-7.2`, `kvm`."""

    emulator: str = ""
    arch: str = ""
    machine: str = ""
    virt_type: str = ""


@dataclass(frozen=True)
class FactsRequest:
    """Asks for `HostFacts`; what is empty is not looked at.

    Attributes:
        server_id: the domain that is to leave, by its UUID.
        disks: its disks' targets (`vda`), for jobs on them.
        name: a domain of this name is looked for.
        paths: absolute, and at most `MOST_FILES`.
        volumes: the files and devices behind them are looked at, too.
        machine: what the host is to run.
        cpu: the guest's `<cpu>`, which is compared with what the host's QEMU can give.
        host_cpu: another host's `<cpu>`, which is compared with this host's own, for a guest that sees the host's.
        connect_to: a libvirt URI, which is tried from here.
        measure: the domains, by UUID, of which is measured how fast they write to their memory; it takes `measure_s`.
    """

    server_id: str = ""
    disks: tuple[str, ...] = ()
    name: str = ""
    paths: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    machine: MachineWanted | None = None
    cpu: str = ""
    host_cpu: str = ""
    connect_to: str = ""
    measure: tuple[str, ...] = ()
    measure_s: int = 0

    def __post_init__(self) -> None:
        check_measure_s(self.measure_s)
        if len(self.measure) > MOST_MEASURED:
            raise ValueError(
                f"{len(self.measure)} domains are too many to be measured; at most {MOST_MEASURED} are"
            )
        most = max(map(len, (self.paths, self.volumes, self.disks)))
        if most > MOST_FILES:
            raise ValueError(f"{most} paths are too many; at most {MOST_FILES} are looked at")
        for path in self.paths:
            if not path.startswith("/") or "\0" in path or len(path.encode()) > LONGEST_PATH:
                raise ValueError(
                    f"{path[:80]!r} is not an absolute path of at most {LONGEST_PATH} bytes; give one"
                )


def check_measure_s(seconds: int) -> None:
    """Raises ValueError for a time for which nothing can be measured; 0 is not to measure."""
    if not 0 <= seconds <= LONGEST_MEASURE_S:
        raise ValueError(f"measure_s is {seconds}; give a number of seconds up to {LONGEST_MEASURE_S}")


@dataclass(frozen=True)
class MemoryFacts:
    """A host's memory, in bytes, and its CPUs.

    Attributes:
        total, available: what is available includes caches that the kernel gives up.
        promised: what VMs that are arriving have not filled yet.
        huge_pages: how many are free, by their size.
        huge_page: the size of those that a domain gets which names none.
        cpus: how many the kernel runs programs on (threads), as libvirt counts them.
    """

    total: int = 0
    available: int = 0
    promised: int = 0
    huge_pages: Mapping[int, int] = field(default_factory=dict)
    huge_page: int = 0
    cpus: int = 0


@dataclass(frozen=True)
class HypervisorFacts:
    """A host's libvirt and QEMU; problems are in libvirt's words.

    Attributes:
        libvirt_version, qemu_version: as numbers, 9_000_000 is 9.0.0.
        uuid: by which libvirt tells hosts apart.
        cpu: the host's own `<cpu>`.
        capabilities: virConnectGetDomainCapabilities of the machine that was asked for, as XML.
        machine_problem: why it can't run that machine.
        cpu_problem: why it can't give the guest that CPU.
        connect_problem: why the URI could not be connected to.
        postcopy_problem: why no VM can come here by post-copy.
    """

    libvirt_version: int = 0
    qemu_version: int = 0
    uuid: str = ""
    cpu: str = ""
    capabilities: str = ""
    machine_problem: str = ""
    cpu_problem: str = ""
    connect_problem: str = ""
    postcopy_problem: str = ""


@dataclass(frozen=True)
class DomainFacts:
    """What libvirt holds beside the domain that was asked about. `block_jobs` are the disks that have one."""

    snapshots: int = 0
    block_jobs: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostFacts:
    """What a host can do and what is on it now. What is not known is empty or 0, and stands in nobody's way.

    Attributes:
        machine: the boot id of the kernel; two hosts that share it are parts of one machine.
        files: each path and each volume (by its key) that was asked for and could be looked at; a volume of which its
            pool knows no path is left out.
        pools: the active storage pools.
        namesake: the domain that has the name that was asked for.
        troubles: what could not be looked at, and why.
        numa: how much memory each NUMA node has available, in bytes, by its number; caches that can go count.
        dirty_mib: how fast domains were measured to write to their memory, in MiB/s, if they could be.
    """

    machine: str = ""
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    namesake: DomainSummary | None = None
    memory: MemoryFacts = MemoryFacts()
    hypervisor: HypervisorFacts = HypervisorFacts()
    domain: DomainFacts = DomainFacts()
    troubles: tuple[str, ...] = ()
    numa: Mapping[int, int] = field(default_factory=dict)
    dirty_mib: Mapping[str, float] = field(default_factory=dict)
