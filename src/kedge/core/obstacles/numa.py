"""NUMA nodes of the host that the guest's memory is bound to (libvirt's `<numatune>`), which are none of the guest's.

libvirt binds it on the destination to the nodes of the same numbers. It refuses one that is not there once the
migration has begun; on one that is too full the kernel kills QEMU while memory arrives.
"""

import re
from collections.abc import Iterator

from lxml import etree

from kedge.core.placement.demand import demand_of, scaled
from kedge.model.obstacle import Obstacle
from kedge.model.placement import MIB

from .question import Question

CODES = {
    "numa-node-missing": "the guest's memory is bound to NUMA nodes that the destination does not have",
    "numa-memory-short": "the NUMA nodes to which the guest's memory is bound have too little left there",
}

_BINDS = {None, "strict", "restrictive"}
"""The modes that let nothing be taken of other nodes; `strict` is libvirt's usual one."""

_RANGE = re.compile(r"(\^?)(\d{1,5})(?:-(\d{1,5}))?")
_CHANGE = "or change <numatune> while the VM is shut off"


def obstacles(question: Question) -> list[Obstacle]:
    """One for each set of nodes to which something is bound."""
    nodes, host = question.there.numa, question.destination
    if not nodes:
        return []
    found = []
    wanted: dict[frozenset[int], int] = {}
    for bound, memory in _bound(question.domain):
        wanted[bound] = wanted.get(bound, 0) + memory
    in_huge_pages = question.domain.find("memoryBacking/hugepages") is not None
    for bound, memory in wanted.items():
        missing = sorted(bound - nodes.keys())
        if missing:
            there = ", ".join(map(str, sorted(nodes)))
            problem = f"the VM's memory is bound to {_said(missing)}, and {host} has {there}"
            remedy = f"choose a host that has the same nodes, {_CHANGE}"
            found.append(Obstacle("numa-node-missing", "NUMA", problem, remedy))
            continue
        left = sum(nodes[each] for each in bound)
        if memory > left and not in_huge_pages:
            each_has = " + ".join(str(nodes[each] // MIB) for each in sorted(bound))
            total = f" = {left // MIB}" if len(bound) > 1 else ""
            problem = (
                f"the VM binds {memory // MIB} MiB to {_said(sorted(bound))}, of which {host} has "
                f"{each_has}{total} MiB available"
            )
            remedy = f"choose another host, move VMs that are bound to the same nodes away first, {_CHANGE}"
            found.append(Obstacle("numa-memory-short", "NUMA", problem, remedy))
    return found


def _bound(domain: etree._Element) -> Iterator[tuple[frozenset[int], int]]:
    """Sets of nodes, each with how much memory is bound to it, in bytes."""
    rest = demand_of(domain).memory
    cells = {
        cell.get("id"): scaled(cell.get("memory"), cell.get("unit"))
        for cell in domain.iterfind("cpu/numa/cell")
    }
    for each in domain.iterfind("numatune/memnode"):
        memory = cells.get(each.get("cellid"), 0)
        rest -= memory
        nodes = _nodes(each)
        if nodes:
            yield nodes, memory
    whole = domain.find("numatune/memory")
    if whole is not None and rest > 0:
        nodes = _nodes(whole)
        if nodes:
            yield nodes, rest


def _nodes(element: etree._Element) -> frozenset[int]:
    """The nodes that it binds to (`0-3,^2`); none if numad chooses them, or if others may be used, too."""
    text = (element.get("nodeset") or "").replace(" ", "")
    if not text or element.get("placement") == "auto" or element.get("mode") not in _BINDS:
        return frozenset()
    nodes: set[int] = set()
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None:
            return frozenset()
        first = int(found[2])
        some = range(first, int(found[3] or first) + 1)
        nodes = nodes.difference(some) if found[1] else nodes.union(some)
    return frozenset(nodes)


def _said(nodes: list[int]) -> str:
    return ("node " if len(nodes) == 1 else "nodes ") + ", ".join(map(str, nodes))
