"""Which files a domain uses on its host, and whether a path is the same file on two hosts."""

from collections.abc import Iterator

from lxml import etree

from kedge.model.host_facts import LONGEST_PATH, MOST_FILES, FileFacts, FileKind, HostFacts, Volume

_SOURCES = ("file", "dev")

SHARED_FILESYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "gfs2", "ocfs2", "afs", "smb3", "cifs", "smbfs", "ceph", "gpfs", "acfs"),
        *("fuse.glusterfs", "fuse.quobyte"),
    }
)
"""Those that libvirt takes for shared (virFileIsSharedFS), by the names that the kernel's mountinfo has."""


_NUMBERED_BY_CLIENT = {"smb3", "cifs", "smbfs"}
"""Of these a client may number the files itself (`noserverino`)."""


def disk_volume(disk: etree._Element) -> Volume | None:
    """The volume that a disk names instead of a path."""
    source = disk.find("source")
    if source is None or not source.get("pool") or not source.get("volume"):
        return None
    return Volume(source.get("pool", ""), source.get("volume", ""))


def disk_sources(disk: etree._Element) -> Iterator[str]:
    """The paths of a disk and of what it is based on, as libvirt shows a running domain's chain of files.

    For a volume its key, by which `HostFacts.files` has what is behind it.
    """
    volume = disk_volume(disk)
    if volume is not None:
        yield volume.key
    for source in (*disk.iterfind("source"), *disk.iterfind(".//backingStore/source")):
        for attribute in _SOURCES:
            path = source.get(attribute, "")
            if path.startswith("/"):
                yield path


def loaded_files(domain: etree._Element) -> Iterator[tuple[str, str]]:
    """What QEMU reads when it starts, as (what it is, path): kernel, firmware, tables."""
    for tag in ("kernel", "initrd", "dtb", "loader"):
        yield from ((tag, path) for path in _texts(domain, f"os/{tag}"))
    yield from (("ACPI table", path) for path in _texts(domain, "os/acpi/table"))
    for device in domain.iterfind("devices/*/rom[@file]"):
        yield "ROM", device.get("file", "")


def nvram(domain: etree._Element) -> str | None:
    """The path of the domain's UEFI variables."""
    found = domain.find("os/nvram")
    if found is None:
        return None
    path = (found.text or "").strip() or found.findtext("source") or ""
    source = found.find("source")
    if source is not None:
        path = source.get("file", path)
    return path if path.startswith("/") else None


def nvram_template(domain: etree._Element) -> str | None:
    """What the variables are first copied from."""
    found = domain.find("os/nvram")
    path = found.get("template", "") if found is not None else ""
    return path if path.startswith("/") else None


def paths_of(domain: etree._Element) -> tuple[str, ...]:
    """Every path that the kinds ask for, each once; no more than an agent looks at."""
    found = [path for disk in domain.iterfind("devices/disk") for path in disk_sources(disk)]
    found += [path for _, path in loaded_files(domain)]
    found += [path for path in (nvram(domain), nvram_template(domain)) if path]
    fit = [path for path in found if path.startswith("/") and len(path.encode()) <= LONGEST_PATH]
    return tuple(dict.fromkeys(fit))[:MOST_FILES]


def volumes_of(domain: etree._Element) -> tuple[Volume, ...]:
    """Every volume that the domain's disks name, each once."""
    found = (disk_volume(disk) for disk in domain.iterfind("devices/disk"))
    return tuple(dict.fromkeys(volume for volume in found if volume is not None))[:MOST_FILES]


def same_file(path: str, here: HostFacts, there: HostFacts) -> bool | None:
    """Whether the path is one file (or one disk) on both hosts; None where that can't be told.

    On one machine (the lab's hosts) device and inode say it. A file on a shared file system has the same inode for
    all of its clients, as the file server numbers it (but for SMB). A block device is known by its serial.
    A file on two machines' local file systems is never the same.
    """
    mine, other = here.files.get(path), there.files.get(path)
    if mine is None or other is None or not here.machine or not there.machine:
        return None
    if mine.kind is not other.kind:
        return False
    if mine.kind is FileKind.BLOCK:
        return _same_block_device(mine, other, one_machine=here.machine == there.machine)
    if here.machine == there.machine:
        return (mine.device, mine.inode) == (other.device, other.inode)
    if mine.filesystem in SHARED_FILESYSTEMS and other.filesystem in SHARED_FILESYSTEMS:
        return (
            None if _NUMBERED_BY_CLIENT & {mine.filesystem, other.filesystem} else mine.inode == other.inode
        )
    return False if mine.filesystem and other.filesystem else None


def _same_block_device(mine: FileFacts, other: FileFacts, *, one_machine: bool) -> bool | None:
    if one_machine:
        return mine.device == other.device
    if mine.serial and other.serial:
        return mine.serial == other.serial
    return False if mine.size != other.size else None


def _texts(domain: etree._Element, path: str) -> Iterator[str]:
    for element in domain.iterfind(path):
        text = (element.text or "").strip()
        if text:
            yield text
