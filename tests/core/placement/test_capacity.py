"""The arithmetic of memory and CPUs."""

import pytest

from kedge.core.domain_xml.parse import parse
from kedge.core.placement import Load, Promise, demand_of, memory_left, shortages
from kedge.model.host_facts import MemoryFacts
from kedge.model.placement import Demand, HostLimits

from .fleets import GIB, fleet, promise, server

MIB = 1 << 20


def said(demand: Demand, memory: MemoryFacts, limits: HostLimits, load: Load) -> dict[str, str]:
    return {each.code: each.problem for each in shortages("b", demand, memory, limits, load)}


def test_the_arithmetic_is_told() -> None:
    load = fleet(server("x", "b", gib=9), promise("y", "b", gib=2)).load("b")
    limits = HostLimits(memory_overcommit=1.5, memory_reserve_mib=1024, vcpus=3)
    found = said(Demand(4 * GIB, 2), MemoryFacts(8 * GIB, 5 * GIB, GIB), limits, load)
    assert found == {
        "memory-committed": "the VM has 4096 MiB, and servers on b are promised 11264 MiB of the 11264 MiB that they"
        " may have there (8192 MiB x 1.5 - 1024 MiB kept for the host)",
        "memory-short": "the VM has 4096 MiB, and b has 5120 of 8192 MiB available, 3072 MiB of them promised to VMs"
        " that are arriving",
        "vcpus-short": "the VM has 2 virtual CPUs, and servers on b have 2 of the 3 that they may have there",
    }


@pytest.mark.parametrize(
    ("wanted", "limits", "fits"),
    [
        (4, HostLimits(), True),
        (5, HostLimits(), False),
        (4, HostLimits(memory_reserve_mib=1), False),
        (8, HostLimits(memory_overcommit=1.5), True),
        (9, HostLimits(memory_overcommit=1.5), False),
        (7, HostLimits(memory_overcommit=1.5, memory_reserve_mib=1024), True),
        (8, HostLimits(memory_overcommit=1.5, memory_reserve_mib=1025), False),
    ],
)
def test_ratio_and_reserve(wanted: int, limits: HostLimits, fits: bool) -> None:
    load = fleet(server("x", "b", gib=4)).load("b")
    assert (said(Demand(wanted * GIB), MemoryFacts(8 * GIB, 64 * GIB), limits, load) == {}) is fits


@pytest.mark.parametrize(
    ("cpus", "limits", "problem"),
    [
        (1, HostLimits(), None),
        (1, HostLimits(vcpu_overcommit=2), "2 of the 2 that they may have there (1 CPUs x 2)"),
        (3, HostLimits(vcpu_overcommit=1.5), None),
        (3, HostLimits(vcpu_overcommit=1), "2 of the 3 that they may have there (3 CPUs x 1)"),
        (1, HostLimits(vcpu_overcommit=2, vcpus=4), None),
        (0, HostLimits(vcpu_overcommit=1), None),
    ],
)
def test_virtual_cpus_are_counted_against_those_of_the_host(
    cpus: int, limits: HostLimits, problem: str | None
) -> None:
    load = fleet(server("x", "b", vcpus=2)).load("b")
    found = said(Demand(0, 2), MemoryFacts(cpus=cpus), limits, load)
    told = "the VM has 2 virtual CPUs, and servers on b have"
    assert found == ({} if problem is None else {"vcpus-short": f"{told} {problem}"})


def test_a_vm_that_the_facts_count_already_is_not_counted_twice() -> None:
    memory = MemoryFacts(16 * GIB, 4 * GIB)
    for in_facts, left in ((True, 4 * GIB), (False, 2 * GIB)):
        load = fleet(promise("x", "b", gib=2, in_facts=in_facts)).load("b")
        assert memory_left(memory, HostLimits(), load) == left
        assert (load.memory, load.servers) == (2 * GIB, 1)


def test_a_promise_of_what_has_arrived_counts_once() -> None:
    alone = fleet(server("x", "b", gib=2)).load("b")
    there = fleet(server("x", "b", gib=2), promise("x", "b", gib=2, in_facts=True))
    assert there.load("b") == alone
    since = fleet(server("x", "b", gib=2), promise("x", "b", gib=2)).load("b")
    assert (since.memory, since.servers, since.arriving) == (alone.memory, alone.servers, 2 * GIB)


def test_huge_pages_that_are_promised() -> None:
    memory = MemoryFacts(64 * GIB, GIB, huge_pages={2 * MIB: 1024, GIB: 1}, huge_page=2 * MIB)
    wanted = Demand(GIB, 1, 0)
    for promised, code in (
        (Demand(GIB, 1, 2 * MIB), None),
        (Demand(GIB + 2 * MIB, 1, 0), "huge-pages-short"),
    ):
        load = Load().with_promise(Promise("x", "b", promised))
        assert list(said(wanted, memory, HostLimits(), load)) == ([code] if code else [])
        assert said(Demand(GIB, 1, GIB), memory, HostLimits(), load) == {}


def test_what_is_not_known_is_not_short() -> None:
    assert said(Demand(99 * GIB, 9), MemoryFacts(), HostLimits(), Load()) == {}
    assert memory_left(MemoryFacts(), HostLimits(), Load()) is None


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<memory>1024</memory><vcpu>4</vcpu>", Demand(MIB, 4)),
        ("<memory unit='GiB'>4</memory><currentMemory unit='GiB'>2</currentMemory><vcpu current='2'>4</vcpu>",
         Demand(2 * GIB, 2)),
        ("<memory unit='GiB'>4</memory><currentMemory unit='GiB'>2</currentMemory>"
         "<memoryBacking><hugepages/></memoryBacking>", Demand(4 * GIB, 0, 0)),
        ("<memory unit='G'>1</memory><memoryBacking><hugepages><page size='1' unit='G'/></hugepages></memoryBacking>",
         Demand(GIB, 0, GIB)),
        ("<memory unit='acre'>4</memory><vcpu>many</vcpu>", Demand()),
        ("", Demand()),
    ],
)  # fmt: skip
def test_what_a_domain_takes(xml: str, expected: Demand) -> None:
    assert demand_of(parse(f"<domain>{xml}</domain>")) == expected


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"memory_overcommit": 0.5}, "from 1 to 16"),
        ({"vcpu_overcommit": 0.5}, "from 1 to 1000"),
        ({"vcpu_overcommit": float("nan")}, "from 1 to 1000"),
        ({"memory_overcommit": 17.0}, "from 1 to 16"),
        ({"memory_overcommit": float("nan")}, "from 1 to 16"),
        ({"memory_reserve_mib": -1}, "a number of MiB"),
        ({"vcpus": 0}, "none for no limit but the ratio"),
    ],
)
def test_limits_that_cannot_be(limits: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        HostLimits(**limits)  # type: ignore[arg-type]
