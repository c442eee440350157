"""Disks: there on the destination, the same there, and safe by libvirt's own rule (qemuMigrationSrcIsSafe)."""

from collections.abc import Iterator

from lxml import etree

from kedge.model.host_facts import FileKind
from kedge.model.obstacle import Obstacle

from .paths import SHARED_FILESYSTEMS, disk_sources, same_file
from .question import Question

CODES = {
    "disk-missing": "a disk's file or device is not on the destination",
    "disk-local": "a disk that the VM writes to is in a local file system",
    "disk-not-the-same": "a disk's path leads to another file or device on the destination",
    "disk-transient": "what is written to a disk is thrown away when the VM stops",
    "disk-cache": "a disk's cache mode is unsafe with this QEMU",
    "disk-passed-through": "a disk is an NVMe or vhost-user device of the host",
    "pool-inactive": "a disk's storage pool is not active on the destination",
}

_SAFE_CACHES = ("none", "directsync")
_OWN_DEVICES = {
    "nvme": "an NVMe controller",
    "vhostuser": "a vhost-user back end",
    "vhostvdpa": "a vDPA device",
}
# QEMU drops the host's cache after a migration since 4.0 (its option drop-cache), and libvirt trusts that.
_DROPS_CACHE = 4_000_000


def obstacles(question: Question) -> list[Obstacle]:
    """All disks' obstacles. CD-ROMs and floppies are looked at by `images`."""
    return [
        obstacle
        for disk in question.domain.iterfind("devices/disk")
        if disk.get("device", "disk") in ("disk", "lun")
        for obstacle in _of(disk, question)
    ]


def named(disk: etree._Element) -> str:
    """The disk as people know it: `disk vda`."""
    target = disk.find("target")
    return f"{disk.get('device', 'disk')} {target.get('dev', '') if target is not None else ''}".strip()


def pool_obstacle(disk: etree._Element, question: Question) -> Obstacle | None:
    """The pool of `<source pool= volume=>`, which the destination's libvirt must find active."""
    source = disk.find("source")
    pool = source.get("pool", "") if source is not None else ""
    if not pool or not question.there.machine or pool in question.there.pools:
        return None
    return Obstacle(
        "pool-inactive",
        named(disk),
        f"is in the storage pool {pool}, which is not active on {question.destination}",
        f"start it there: `virsh pool-start {pool}`",
    )


def _of(disk: etree._Element, question: Question) -> Iterator[Obstacle]:
    kind = disk.get("type", "file")
    if kind in _OWN_DEVICES:
        yield Obstacle(
            "disk-passed-through", named(disk), f"is {_OWN_DEVICES[kind]} of the host", "detach it first"
        )
        return
    if disk.find("transient") is not None:
        yield Obstacle(
            "disk-transient",
            named(disk),
            "throws away what is written when the VM stops (<transient/>), and libvirt migrates no such disk",
            "detach it, or remove <transient/> and start the VM anew",
        )
    if pool := pool_obstacle(disk, question):
        yield pool
    paths = list(dict.fromkeys(disk_sources(disk)))
    missing = [path for path in paths if question.missing_there(path)]
    for path in missing:
        yield _missing(disk, path, question)
    different = [path for path in paths if path not in missing and _differs(path, disk, question)]
    yield from _unsafe(disk, kind, different, question)


def _differs(path: str, disk: etree._Element, question: Question) -> bool:
    """Whether something else is at the path there. A file that is only read may be a copy, which has the same size."""
    if same_file(path, question.here, question.there) is not False:
        return False
    here, there = question.here.files[path], question.there.files[path]
    only_read = disk.find("readonly") is not None or path != next(disk_sources(disk))
    if only_read and here.kind is there.kind is FileKind.FILE:
        return here.size != there.size
    return True


def _missing(disk: etree._Element, path: str, question: Question) -> Obstacle:
    return Obstacle(
        "disk-missing",
        named(disk),
        f"is in {path}, which is not there on {question.destination}",
        f"put it on storage that both hosts share, and mount that at the same place on {question.destination}",
    )


def _unsafe(disk: etree._Element, kind: str, different: list[str], question: Question) -> Iterator[Obstacle]:
    written = disk.find("readonly") is None
    source = disk.find("source")
    path = next(disk_sources(disk), "")
    facts = question.here.files.get(path)
    if written and facts is not None and facts.kind is FileKind.FILE and _local(facts.filesystem):
        yield Obstacle(
            "disk-local",
            named(disk),
            f"is in {path} on {question.source}'s own {facts.filesystem} file system",
            "move it to storage that both hosts share (`virsh blockcopy` does it while the VM runs); storage is not "
            "migrated",
        )
    else:
        for other in different:
            yield Obstacle(
                "disk-not-the-same",
                named(disk),
                f"is in {other}, and {question.destination} has something else there",
                "mount the storage that both hosts share at the same place",
            )
    if kind != "network" and source is not None and written and _unsafe_cache(disk, question):
        cache = _cache(disk)
        yield Obstacle(
            "disk-cache",
            named(disk),
            f"has the cache mode {cache}, which libvirt takes for unsafe with the QEMU of {question.source}",
            "set cache='none' and start the VM anew",
        )


def _local(filesystem: str) -> bool:
    return bool(filesystem) and filesystem not in SHARED_FILESYSTEMS


def _cache(disk: etree._Element) -> str:
    driver = disk.find("driver")
    return driver.get("cache", "default") if driver is not None else "default"


def _unsafe_cache(disk: etree._Element, question: Question) -> bool:
    """Whether QEMU on the source is too old to drop its cache; an unknown version is not."""
    if not 0 < question.here.hypervisor.qemu_version < _DROPS_CACHE:
        return False
    return disk.find("shareable") is None and _cache(disk) not in _SAFE_CACHES
