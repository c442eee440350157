"""Memory that is bound to NUMA nodes of the host."""

from dataclasses import replace

import pytest

from .asking import THERE, codes, found

GIB = 1 << 30
MEMORY = "<memory unit='GiB'>4</memory>"
TWO_NODES = replace(THERE, numa={0: 3 * GIB, 1: 2 * GIB})


def bound(nodeset: str, mode: str = "mode='strict'") -> str:
    return f"{MEMORY}<numatune><memory {mode} nodeset='{nodeset}'/></numatune>"


@pytest.mark.parametrize(
    ("nodeset", "mode", "expected"),
    [
        ("0-1", "mode='strict'", []),
        ("0", "mode='strict'", ["numa-memory-short"]),
        ("0-1,^0", "mode='strict'", ["numa-memory-short"]),
        ("0", "", ["numa-memory-short"]),
        ("0", "mode='restrictive'", ["numa-memory-short"]),
        ("0", "mode='preferred'", []),
        ("0", "mode='strict' placement='auto'", []),
        ("2", "mode='strict'", ["numa-node-missing"]),
        ("2", "mode='interleave'", []),
        ("what", "mode='strict'", []),
    ],
)
def test_where_the_memory_may_be(nodeset: str, mode: str, expected: list[str]) -> None:
    assert codes(above=bound(nodeset, mode), there=TWO_NODES) == expected
    assert codes(above=bound(nodeset, mode)) == []  # a host that says nothing of its nodes


def test_the_arithmetic_is_said() -> None:
    (short,) = found(above=bound("0,1").replace("4", "6"), there=TWO_NODES)
    assert short.problem == (
        "the VM binds 6144 MiB to nodes 0, 1, of which b has 3072 + 2048 = 5120 MiB available"
    )
    (missing,) = found(above=bound("0,2-3"), there=TWO_NODES)
    assert missing.problem == "the VM's memory is bound to nodes 2, 3, and b has 0, 1"


def test_cells_of_the_guest_are_bound_one_by_one() -> None:
    cells = (
        "<cpu><numa><cell id='0' memory='1' unit='GiB'/><cell id='1' memory='3' unit='GiB'/></numa></cpu>"
        "<numatune>{}<memnode cellid='1' mode='strict' nodeset='1'/></numatune>"
    )
    (short,) = found(above=MEMORY + cells.format(""), there=TWO_NODES)
    assert short.problem == "the VM binds 3072 MiB to node 1, of which b has 2048 MiB available"
    rest = "<memory mode='strict' nodeset='0'/>"
    assert codes(above=MEMORY + cells.format(rest), there=replace(THERE, numa={0: GIB, 1: 3 * GIB})) == []
    both = found(above=MEMORY + cells.format(rest), there=replace(THERE, numa={0: GIB - 1, 1: GIB}))
    assert [each.code for each in both] == ["numa-memory-short"] * 2


def test_huge_pages_are_not_compared_with_ordinary_memory() -> None:
    huge = bound("0") + "<memoryBacking><hugepages/></memoryBacking>"
    assert codes(above=huge, there=TWO_NODES) == []
