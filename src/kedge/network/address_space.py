"""What is left of prefixes from which blocks were taken, and which block is taken next: pure."""

from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network, summarize_address_range

from .addresses import IpNetwork


def joined(prefixes: Iterable[IpNetwork]) -> list[IpNetwork]:
    """The same addresses in as few prefixes as can be, by address. All have to be of one IP version."""
    found = list(prefixes)
    # `collapse_addresses` is typed for one version at a time.
    return [
        *collapse_addresses(each for each in found if isinstance(each, IPv4Network)),
        *collapse_addresses(each for each in found if isinstance(each, IPv6Network)),
    ]


def holds(prefixes: Iterable[IpNetwork], block: IpNetwork) -> bool:
    """Whether one of these prefixes holds all of the block."""
    return any(_within(block, each) for each in prefixes)


def free_blocks(prefixes: Sequence[IpNetwork], taken: Collection[IpNetwork]) -> list[IpNetwork]:
    """What is left, in as few blocks as can be, by address. `taken` lie in the prefixes, none in another."""
    found: list[IpNetwork] = []
    for prefix in joined(prefixes):
        kind = type(prefix.network_address)
        start = int(prefix.network_address)
        gone = sorted(
            (int(each.network_address), int(each.broadcast_address))
            for each in taken
            if _within(each, prefix)
        )
        for first, last in [*gone, (int(prefix.broadcast_address) + 1, 0)]:
            if start < first:
                found += summarize_address_range(kind(start), kind(first - 1))
            start = last + 1
    return found


def next_block(free: Iterable[IpNetwork], prefixlen: int) -> IpNetwork | None:
    """The block of this size that is taken next: of the smallest free one that holds it, as Neutron chooses.

    So the large ones stay whole for as long as can be.
    """
    fitting = [each for each in free if each.prefixlen <= prefixlen]
    if not fitting:
        return None
    chosen = max(fitting, key=lambda each: each.prefixlen)
    return ip_network(f"{chosen.network_address}/{prefixlen}")


def _within(block: IpNetwork, prefix: IpNetwork) -> bool:
    return (
        block.version == prefix.version
        and prefix.network_address <= block.network_address  # type: ignore[operator]
        and block.broadcast_address <= prefix.broadcast_address  # type: ignore[operator]
    )
