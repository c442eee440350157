"""The memory of this host, as its kernel counts it, and its CPUs."""

import os
from pathlib import Path

from kedge.agent.host.files import text_of
from kedge.model.host_facts import MemoryFacts

_HUGE_PAGES = Path("/sys/kernel/mm/hugepages")
_NODES = Path("/sys/devices/system/node")
_GIVEN_UP = ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable")
_PIDS = Path("/run/libvirt/qemu")  # libvirt's, of the QEMUs that it runs


def memory(promised: int, cpus: int) -> MemoryFacts:
    """What there is now; `promised` bytes are somebody's already, and libvirt counts so many `cpus`."""
    known = _meminfo()
    return MemoryFacts(
        total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        available=known.get("MemAvailable", 0),
        promised=promised,
        huge_pages=_free_huge_pages(),
        huge_page=known.get("Hugepagesize", 0),
        cpus=cpus,
    )


def resident(domain: str) -> int:
    """What the QEMU of the domain of this name has of the host's memory, in bytes; 0 if that can't be told."""
    pid = text_of(_PIDS / f"{domain}.pid")
    pages = text_of(Path(f"/proc/{pid}/statm")).split() if pid.isdigit() else []
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if len(pages) > 1 else 0


def _meminfo() -> dict[str, int]:
    """What /proc/meminfo counts in kB, in bytes."""
    found = {}
    for line in text_of(Path("/proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB":
            found[name] = int(number) * 1024
    return found


def numa_nodes() -> dict[int, int]:
    """How much memory in bytes each NUMA node has free or can free, by its number.

    virNodeGetCellsFreeMemory counts what is free only, which is little on any host that has read many files.
    """
    found = {}
    for node in _NODES.glob("node[0-9]*"):
        known = {}
        for line in text_of(node / "meminfo").splitlines():
            words = line.split()  # Node 0 MemFree: 123 kB
            if len(words) == 5 and words[3].isdigit():
                known[words[2].rstrip(":")] = int(words[3]) * 1024
        if "MemFree" in known:
            found[int(node.name.removeprefix("node"))] = sum(known.get(name, 0) for name in _GIVEN_UP)
    return found


def _free_huge_pages() -> dict[int, int]:
    found = {}
    for pool in _HUGE_PAGES.glob("hugepages-*kB"):
        size = pool.name.removeprefix("hugepages-").removesuffix("kB")
        free = text_of(pool / "free_hugepages")
        if size.isdigit() and free.isdigit():
            found[int(size) * 1024] = int(free)
    return found
