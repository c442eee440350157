"""What is at a path on this host: the file, its file system, and what tells a block device apart anywhere."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kedge.agent.host.in_time import InTime
from kedge.model.host_facts import FileFacts, FileKind

PATIENCE_S = 3.0
"""A file server that does not answer holds whoever looks, for hours; so long a plan waits for it."""


class HostFiles:
    """Looks at paths."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._in_time = InTime(patience_s)

    def look(self, paths: Sequence[str]) -> dict[str, FileFacts]:
        """What is at these absolute paths; those that could not be looked at, or not in time, are left out."""
        found: dict[str, FileFacts] = {}
        if paths:
            self._in_time.run(lambda: _look(paths, found))
        return dict(found)


def _look(paths: Sequence[str], found: dict[str, FileFacts]) -> None:
    filesystems = _filesystems()
    for path in paths:
        # A file server may not let root in, or have lost the file's handle: then only QEMU can tell what is there.
        with suppress(OSError):
            found[path] = _file(path, filesystems)


def _file(path: str, filesystems: dict[str, str]) -> FileFacts:
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return FileFacts()
    if stat.S_ISBLK(found.st_mode):
        device = _number(found.st_rdev)
        return FileFacts(FileKind.BLOCK, device=device, size=_block_size(device), serial=_serial(device))
    kind = FileKind.OTHER
    if stat.S_ISREG(found.st_mode):
        kind = FileKind.FILE
    elif stat.S_ISDIR(found.st_mode):
        kind = FileKind.DIRECTORY
    device = _number(found.st_dev)
    return FileFacts(kind, _filesystem_of(path, device, filesystems), device, found.st_ino, found.st_size)


def _filesystem_of(path: str, device: str, filesystems: dict[str, str]) -> str:
    """By the device's number; btrfs and some overlays show another one in mountinfo, so then by the mount point."""
    if device in filesystems:
        return filesystems[device]
    real = Path(os.path.realpath(path))
    return next((filesystems[str(at)] for at in (real, *real.parents) if str(at) in filesystems), "")


def _filesystems() -> dict[str, str]:
    """The types of all mounted file systems, by `major:minor` and by mount point (proc(5), mountinfo)."""
    found: dict[str, str] = {}
    for line in text_of(Path("/proc/self/mountinfo")).splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) > 4 and kind:
            found[fields[2]] = found[fields[4]] = kind[0]
    return found


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _block_size(device: str) -> int:
    sectors = text_of(Path(f"/sys/dev/block/{device}/size"))
    return int(sectors) * 512 if sectors.isdigit() else 0


def _serial(device: str) -> str:
    """The WWID of a disk, or the device mapper's UUID of a volume; both are the same on every host."""
    of_device = Path(f"/sys/dev/block/{device}")
    names = ("dm/uuid", "wwid", "device/wwid")
    return next((text for name in names if (text := text_of(of_device / name))), "")


def text_of(path: Path) -> str:
    """What the kernel has in a file of its own; "" where there is no such file."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""
