"""Disks and images: there, the same, and safe by libvirt's rule."""

from dataclasses import replace
from typing import TypedDict

import pytest

from kedge.model.host_facts import FileFacts, FileKind, HostFacts, HypervisorFacts

from .asking import HERE, LOCAL, NOTHING, SHARED, THERE, codes, found, with_files

DISK = "<disk type='file' device='disk'>{driver}<source file='/d'/><target dev='vda'/>{more}</disk>"
BLOCK = "<disk type='block' device='disk'><source dev='/dev/d'/><target dev='vda'/></disk>"
CDROM = "<disk type='file' device='cdrom'><source file='/d'{policy}/><target dev='sda'/><readonly/></disk>"


def disk(driver: str = "", more: str = "") -> str:
    return DISK.format(driver=driver, more=more)


class Hosts(TypedDict):
    here: HostFacts
    there: HostFacts


def hosts(here: FileFacts, there: FileFacts, path: str = "/d") -> Hosts:
    return {"here": with_files(HERE, {path: here}), "there": with_files(THERE, {path: there})}


@pytest.mark.parametrize(
    ("devices", "here", "there", "expected"),
    [
        (disk(), SHARED, SHARED, []),
        (disk(), SHARED, NOTHING, ["disk-missing"]),
        (disk(), LOCAL, NOTHING, ["disk-missing", "disk-local"]),
        (disk(), LOCAL, LOCAL, ["disk-local"]),
        (disk(), SHARED, replace(SHARED, inode=4712), ["disk-not-the-same"]),
        (disk(), SHARED, LOCAL, ["disk-not-the-same"]),
        (disk(), replace(SHARED, filesystem="cifs"), replace(SHARED, filesystem="cifs", inode=1), []),
        (disk(), SHARED, FileFacts(FileKind.DIRECTORY, "nfs4", "0:50", 4711), ["disk-not-the-same"]),
        (disk(more="<readonly/>"), LOCAL, NOTHING, ["disk-missing"]),
        (disk(more="<readonly/>"), LOCAL, replace(LOCAL, inode=9), []),
        (disk(more="<readonly/>"), LOCAL, replace(LOCAL, size=9), ["disk-not-the-same"]),
        (disk(more="<transient/>"), SHARED, SHARED, ["disk-transient"]),
        ("<disk type='network' device='disk'><source protocol='rbd' name='p/d'/></disk>", LOCAL, NOTHING, []),
        ("<disk type='nvme' device='disk'><target dev='vda'/></disk>", LOCAL, LOCAL, ["disk-passed-through"]),
        (CDROM.format(policy=""), LOCAL, LOCAL, []),
        (CDROM.format(policy=""), LOCAL, NOTHING, ["image-missing"]),
        (CDROM.format(policy=""), LOCAL, replace(LOCAL, inode=99), []),
        (CDROM.format(policy=""), LOCAL, replace(LOCAL, size=2), ["image-not-the-same"]),
        (CDROM.format(policy=" startupPolicy='optional'"), LOCAL, NOTHING, []),
        (CDROM.format(policy=" startupPolicy='mandatory'"), LOCAL, NOTHING, ["image-missing"]),
        ("<disk type='file' device='cdrom'><target dev='sda'/></disk>", LOCAL, NOTHING, []),
    ],
)
def test_files(devices: str, here: FileFacts, there: FileFacts, expected: list[str]) -> None:
    assert codes(devices, **hosts(here, there)) == expected


def test_what_a_disk_is_based_on_counts_too() -> None:
    based = disk(more="<backingStore type='file'><source file='/base'/><backingStore/></backingStore>")
    here = with_files(HERE, {"/d": SHARED, "/base": SHARED})
    there = with_files(THERE, {"/d": SHARED, "/base": NOTHING})
    (obstacle,) = found(based, here=here, there=there)
    assert (obstacle.code, obstacle.thing) == ("disk-missing", "disk vda")
    assert "/base, which is not there on b" in obstacle.problem
    assert "mount" in obstacle.remedy


@pytest.mark.parametrize(
    ("here", "there", "one_machine", "expected"),
    [
        (FileFacts(FileKind.BLOCK, device="8:1", size=7, serial="naa.1"), None, False, []),
        (
            FileFacts(FileKind.BLOCK, size=7, serial="naa.1"),
            FileFacts(FileKind.BLOCK, size=7, serial="naa.2"),
            False,
            ["disk-not-the-same"],
        ),
        (FileFacts(FileKind.BLOCK, size=7), FileFacts(FileKind.BLOCK, size=8), False, ["disk-not-the-same"]),
        (FileFacts(FileKind.BLOCK, size=7), FileFacts(FileKind.BLOCK, size=7), False, []),
        (
            FileFacts(FileKind.BLOCK, device="8:1", size=7),
            FileFacts(FileKind.BLOCK, device="8:2", size=7),
            True,
            ["disk-not-the-same"],
        ),
    ],
)
def test_block_devices(
    here: FileFacts, there: FileFacts | None, one_machine: bool, expected: list[str]
) -> None:
    facts = hosts(here, there or replace(here, device="8:16"), "/dev/d")
    if one_machine:
        facts["there"] = replace(facts["there"], machine=HERE.machine)
    assert codes(BLOCK, **facts) == expected


def test_one_machine_knows_its_files_by_device_and_inode() -> None:
    facts = hosts(SHARED, replace(SHARED, device="0:51"))
    assert codes(disk(), **facts) == []
    one_machine = replace(facts["there"], machine=HERE.machine)
    assert codes(disk(), here=facts["here"], there=one_machine) == ["disk-not-the-same"]


@pytest.mark.parametrize(("size", "expected"), [(LOCAL.size, []), (1, ["disk-not-the-same"])])
def test_what_a_disk_is_based_on_may_be_a_copy(size: int, expected: list[str]) -> None:
    based = disk(more="<backingStore type='file'><source file='/base'/><backingStore/></backingStore>")
    here = with_files(HERE, {"/d": SHARED, "/base": LOCAL})
    there = with_files(THERE, {"/d": SHARED, "/base": replace(LOCAL, inode=13, size=size)})
    assert codes(based, here=here, there=there) == expected


@pytest.mark.parametrize(
    ("driver", "more", "qemu", "expected"),
    [
        ("<driver name='qemu' cache='writeback'/>", "", 3_001_000, ["disk-cache"]),
        ("", "", 3_001_000, ["disk-cache"]),
        ("<driver name='qemu' cache='none'/>", "", 3_001_000, []),
        ("<driver name='qemu' cache='directsync'/>", "", 3_001_000, []),
        ("", "<shareable/>", 3_001_000, []),
        ("", "", 7_002_000, []),
        ("", "", 0, []),
    ],
)
def test_a_cache_that_an_old_qemu_does_not_drop(
    driver: str, more: str, qemu: int, expected: list[str]
) -> None:
    facts = hosts(SHARED, SHARED)
    here = replace(facts["here"], hypervisor=HypervisorFacts(qemu_version=qemu))
    assert codes(disk(driver, more), here=here, there=facts["there"]) == expected


@pytest.mark.parametrize(("pools", "expected"), [(("other",), ["pool-inactive"]), (("fast", "other"), [])])
@pytest.mark.parametrize("device", ["disk", "cdrom"])
def test_a_pool_must_be_active_there(device: str, pools: tuple[str, ...], expected: list[str]) -> None:
    volume = (
        f"<disk type='volume' device='{device}'><source pool='fast' volume='v'/><target dev='vda'/></disk>"
    )
    assert codes(volume, there=replace(THERE, pools=pools)) == expected


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        (LOCAL, LOCAL, ["disk-local"]),
        (SHARED, SHARED, []),
        (SHARED, NOTHING, ["disk-missing"]),
        (FileFacts(FileKind.BLOCK, size=7), FileFacts(FileKind.BLOCK, size=8), ["disk-not-the-same"]),
    ],
)
def test_a_volume_is_what_is_behind_it(here: FileFacts, there: FileFacts, expected: list[str]) -> None:
    volume = "<disk type='volume' device='disk'><source pool='fast' volume='v'/><target dev='vda'/></disk>"
    facts = hosts(here, there, "fast/v")
    assert codes(volume, here=facts["here"], there=replace(facts["there"], pools=("fast",))) == expected


def test_where_nothing_is_known_nothing_is_in_the_way() -> None:
    volume = "<disk type='volume' device='disk'><source pool='fast' volume='v'/></disk>"
    assert codes(disk() + CDROM.format(policy="") + volume, here=HostFacts(), there=HostFacts()) == []
