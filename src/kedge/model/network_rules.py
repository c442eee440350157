"""What whoever runs the network service sets for its networks, subnets and ports; names and defaults are Neutron's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

UNLIMITED = -1
ITEMS_MAX = 64
"""Of one attribute, whatever is set: no request may take minutes."""

QUOTAS: Mapping[str, int] = MappingProxyType({"network": UNLIMITED, "subnet": UNLIMITED, "port": UNLIMITED})
"""By what is counted, how much of it a project may have unless that is said of it."""

BASE_MAC = "fa:16:3e:00:00:00"
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class NetworkRules:
    """The settings.

    Attributes:
        quotas: how many networks, subnets and ports a project may have of which nothing else is said; -1 is no limit.
        max_dns_nameservers: so many a subnet may have.
        max_subnet_host_routes: so many a subnet may have.
        base_mac: what generated MAC addresses begin with: its first three octets, and the fourth unless that is 00.
    """

    quotas: Mapping[str, int] = field(default_factory=lambda: QUOTAS)
    max_dns_nameservers: int = 5
    max_subnet_host_routes: int = 20
    base_mac: str = BASE_MAC

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.base_mac) or int(self.base_mac[:2], 16) & 1:
            raise ValueError(
                f"base_mac {self.base_mac!r} is not a MAC address of one NIC; write it as {BASE_MAC}"
            )

    @property
    def mac_prefix(self) -> bytes:
        """What generated MAC addresses begin with."""
        octets = bytes.fromhex(self.base_mac.replace(":", ""))
        return octets[: 4 if octets[3] else 3]
