"""What a host says of itself when a plan asks: its abilities, and the files that a domain uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .domain import DomainSummary

MOST_FILES = 512
"""So many paths a `FactsRequest` may name. A domain has a few; libvirt itself takes XML of any size."""

LONGEST_PATH = 4096
"""PATH_MAX of Linux, in bytes."""


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
class FactsRequest:
    """Asks for `HostFacts`.

    Attributes:
        name: a domain of this name is looked for.
        paths: absolute, and at most `MOST_FILES`.
    """

    name: str = ""
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.paths) > MOST_FILES:
            raise ValueError(f"{len(self.paths)} paths are too many; at most {MOST_FILES} are looked at")
        for path in self.paths:
            if not path.startswith("/") or "\0" in path or len(path.encode()) > LONGEST_PATH:
                raise ValueError(
                    f"{path[:80]!r} is not an absolute path of at most {LONGEST_PATH} bytes; give one"
                )


@dataclass(frozen=True)
class HostFacts:
    """What a host can do and what is on it now. What is not known is empty or 0, and stands in nobody's way.

    Attributes:
        machine: the boot id of the kernel; two hosts that share it are parts of one machine.
        files: each path that was asked for and could be looked at.
        pools: the active storage pools.
        namesake: the domain that has the name that was asked for.
        libvirt_version, qemu_version: as numbers, 9_000_000 is 9.0.0.
        memory_total, memory_available: in bytes; what is available includes caches that the kernel gives up.
        troubles: what could not be looked at, and why.
    """

    machine: str = ""
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    namesake: DomainSummary | None = None
    libvirt_version: int = 0
    qemu_version: int = 0
    memory_total: int = 0
    memory_available: int = 0
    troubles: tuple[str, ...] = ()
