"""What is left of prefixes, held against plain sets of addresses."""

from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.network.address_space import free_blocks, holds, joined, next_block

PREFIX = IPv4Network("10.0.0.0/26")
BLOCKS = st.integers(27, 32).flatmap(
    lambda length: st.integers(0, (1 << (length - 26)) - 1).map(
        lambda number: IPv4Network((int(PREFIX.network_address) + (number << (32 - length)), length))
    )
)


def blocks(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(each) for each in texts]


@given(st.lists(BLOCKS, max_size=8))
def test_what_is_left_is_what_nobody_took(wanted: list[IPv4Network]) -> None:
    taken: list[IPv4Network] = []
    for each in wanted:
        if not any(each.overlaps(other) for other in taken):
            taken.append(each)
    free = free_blocks([PREFIX], taken)
    gone = {address for block in taken for address in block}
    assert {address for block in free for address in block} == set(PREFIX) - gone
    assert free == joined(free)
    for length in range(26, 33):
        chosen = next_block(free, length)
        possible = [each for each in PREFIX.subnets(new_prefix=length) if not gone & set(each)]
        assert (chosen in possible) if possible else chosen is None


def test_neighbours_are_one_prefix() -> None:
    assert joined(blocks("10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25")) == blocks("10.0.0.0/23")
    assert free_blocks(blocks("10.0.1.0/24", "10.0.0.0/24"), []) == blocks("10.0.0.0/23")


def test_the_smallest_that_fits_is_taken_first() -> None:
    free = blocks("10.0.0.0/16", "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/28")
    assert next_block(free, 24) == IPv4Network("10.1.0.0/24")
    assert next_block(free, 26) == IPv4Network("10.1.0.0/26")
    assert next_block(free, 20) == IPv4Network("10.0.0.0/20")
    assert next_block(free, 15) is None


@pytest.mark.parametrize(
    ("block", "is_held"), [("10.0.0.0/25", True), ("10.0.0.0/23", False), ("2001:db8::/64", False)]
)
def test_a_block_is_held_by_one_prefix(block: str, is_held: bool) -> None:
    assert holds(blocks("10.0.0.0/24", "192.0.2.0/24"), ip_network(block)) == is_held
