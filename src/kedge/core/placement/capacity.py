"""Whether a server fits on a host: what it takes, against what the host has and has given away already.

Two accounts are kept, and a server must fit in both. What servers are *promised* (all of each one's memory, whether
it has touched it or not) must stay within the host's memory times its overcommit ratio, less its reserve. And what
the host has *available now* must hold the newcomer, beside what arrives already. The first knows nothing of what else
runs on the host, the second nothing of memory that a VM has not touched yet.
"""

from kedge.model.host_facts import MemoryFacts
from kedge.model.obstacle import Obstacle
from kedge.model.placement import MIB, Demand, HostLimits

from .fleet import Load

CODES = {
    "memory-committed": "servers on the destination are promised all the memory that they may have there",
    "memory-short": "the destination has less memory left than the guest has",
    "huge-pages-short": "the destination has too few free huge pages of the size that the guest's memory is in",
    "vcpus-short": "servers on the destination have all the virtual CPUs that they may have there",
}


def shortages(
    host: str, demand: Demand, memory: MemoryFacts, limits: HostLimits, load: Load
) -> list[Obstacle]:
    """What `host` is short of for this demand, with the arithmetic. What is not known is not short.

    `load` is without the server itself. Swap is not counted, nor what QEMU needs for itself.
    """
    found = [_committed(host, demand, memory, limits, load), _vcpus(host, demand, memory, limits, load)]
    if demand.huge_page is None:
        found.insert(1, _available(host, demand, memory, load))
    else:
        found.insert(1, _huge_pages(host, demand, memory, load))
    return [each for each in found if each is not None]


def memory_left(memory: MemoryFacts, limits: HostLimits, load: Load) -> int | None:
    """How much ordinary memory in bytes a further server may have; less than 0 if too much is given away already.

    None where the host's memory is not known.
    """
    if not memory.total:
        return None
    return min(promisable(memory, limits) - load.memory, memory.available - memory.promised - load.arriving)


def promisable(memory: MemoryFacts, limits: HostLimits) -> int:
    """How much memory in bytes servers may be promised there in all."""
    return int(memory.total * limits.memory_overcommit) - limits.memory_reserve_mib * MIB


def _committed(
    host: str, demand: Demand, memory: MemoryFacts, limits: HostLimits, load: Load
) -> Obstacle | None:
    may_have = promisable(memory, limits)
    if not memory.total or load.memory + demand.memory <= may_have:
        return None
    times = "" if limits.memory_overcommit == 1 else f" x {limits.memory_overcommit:g}"
    less = f" - {limits.memory_reserve_mib} MiB kept for the host" if limits.memory_reserve_mib else ""
    planned = f", {_mib(load.planned)} of them for moves that operations plan," if load.planned else ""
    return Obstacle(
        "memory-committed",
        "memory",
        f"the VM has {_mib(demand.memory)}, and servers on {host} are promised {_mib(load.memory)}{planned} of the "
        f"{_mib(may_have)} that they may have there ({_mib(memory.total)}{times}{less})",
        f"choose another host, move other VMs away first, or let it promise more (`kedge hosts limits {host}`)",
    )


def _available(host: str, demand: Demand, memory: MemoryFacts, load: Load) -> Obstacle | None:
    arriving = memory.promised + load.arriving
    if not memory.total or demand.memory <= memory.available - arriving:
        return None
    promised = f", {_mib(arriving)} of them promised to VMs that {_come(load)}" if arriving > 0 else ""
    return Obstacle(
        "memory-short",
        "memory",
        f"the VM has {_mib(demand.memory)}, and {host} has {memory.available // MIB} of "
        f"{_mib(memory.total)} available{promised}",
        "choose another host, or move other VMs away first",
    )


def _huge_pages(host: str, demand: Demand, memory: MemoryFacts, load: Load) -> Obstacle | None:
    size = demand.huge_page or memory.huge_page
    free = memory.huge_pages.get(size, 0) * size
    arriving = load.arriving_huge.get(size, 0)
    if size == memory.huge_page:
        arriving += load.arriving_huge.get(0, 0)
    if not memory.huge_pages or demand.memory <= free - arriving:
        return None
    promised = f", {_mib(arriving)} of them promised to VMs that {_come(load)}" if arriving > 0 else ""
    return Obstacle(
        "huge-pages-short",
        "memory",
        f"the VM has {_mib(demand.memory)} in huge pages of {size >> 10} KiB, and {host} has {_mib(free)} of them "
        f"free{promised}",
        f"reserve more there (/sys/kernel/mm/hugepages/hugepages-{size >> 10}kB/nr_hugepages)",
    )


def _vcpus(host: str, demand: Demand, memory: MemoryFacts, limits: HostLimits, load: Load) -> Obstacle | None:
    may_have, sum_of = limits.vcpus, ""
    if may_have is None:
        may_have = int(memory.cpus * limits.vcpu_overcommit)
        sum_of = f" ({memory.cpus} CPUs x {limits.vcpu_overcommit:g})"
        if not memory.cpus:
            return None
    if load.vcpus + demand.vcpus <= may_have:
        return None
    return Obstacle(
        "vcpus-short",
        "CPUs",
        f"the VM has {demand.vcpus} virtual CPUs, and servers on {host} have {load.vcpus} of the {may_have} that "
        f"they may have there{sum_of}",
        f"choose another host, or allow more (`kedge hosts limits {host}`)",
    )


def _come(load: Load) -> str:
    return "are arriving or planned to" if load.planned else "are arriving"


def _mib(number: int) -> str:
    return f"{number // MIB} MiB"
