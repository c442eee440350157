"""What the lab is made of: its nodes, their addresses and what carries each physical network on them.

The addresses are those that RFC 5737 sets aside for documentation; none leaves the lab's namespaces.
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

# KEDGE_LAB names a second lab beside the first one, for instance for another working copy's tests.
_SUFFIX = f"-{os.environ['KEDGE_LAB']}" if os.environ.get("KEDGE_LAB") else ""

ROOT = Path(f"/run/kedge-lab{_SUFFIX}")
LOCK = Path(f"/run/kedge-lab{_SUFFIX}.lock")
CACHE = Path("/var/cache/kedge-lab")
PKI = ROOT / "pki"

NETNS_DIRECTORY = Path("/run/netns")
NETNS_PREFIX = f"kedge{_SUFFIX}-"

MANAGEMENT = "eth0"
FABRIC_BRIDGES = {"management": "br-mgmt", "physnet1": "br-phys1", "physnet2": "br-phys2"}

AGENT_PORT = 9797
CONTROL_PORT = 9798


class Backend(StrEnum):
    """The L2 agent that a lab host runs."""

    MACVTAP = "macvtap"
    OVS_NATIVE = "openvswitch"
    OVS_HYBRID = "openvswitch-hybrid"
    LINUXBRIDGE = "linuxbridge"

    @property
    def is_ovs(self) -> bool:
        """Whether the host runs Open vSwitch."""
        return self in {Backend.OVS_NATIVE, Backend.OVS_HYBRID}

    @property
    def driver(self) -> str:
        """The mechanism driver that binds ports on the host."""
        return "openvswitch" if self.is_ovs else self.value


@dataclass(frozen=True)
class NodeSpec:
    """One set of namespaces of the lab.

    Attributes:
        name: the node's name; its network namespace is `kedge-NAME`.
        address: its IPv4 address on the management network, or None if it has no part in it.
        interfaces: from a physical network to the interface on it.
        addresses: from a physical network to the node's `ADDRESS/PREFIX` there.
    """

    name: str
    address: str | None = None
    interfaces: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def netns(self) -> str:
        """The name that `ip netns` knows the node's network namespace by."""
        return NETNS_PREFIX + self.name

    @property
    def directory(self) -> Path:
        """Where the node's state and logs can be read from outside."""
        return ROOT / "hosts" / self.name


@dataclass(frozen=True)
class HostSpec(NodeSpec):
    """A hypervisor host.

    `spent_ifindexes` is how many interface indexes its namespace skips. macvtap's `/dev/tapN` is numbered by
    them and the machine has one `/dev` for all hosts, so each host that makes macvtap has its own range.
    """

    backend: Backend = Backend.MACVTAP
    spent_ifindexes: int = 0

    @property
    def uuid(self) -> str:
        """The host's UUID; libvirt refuses to migrate between two hosts that have the same one."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.kedge.lab"))

    @property
    def mappings(self) -> dict[str, str]:
        """From a physical network to what the backend calls its own on it: an interface, or an OVS bridge."""
        if self.backend.is_ovs:
            return {physical_network: f"br-{physical_network}" for physical_network in self.interfaces}
        return dict(self.interfaces)


_FIRST_IFINDEX = 3600 if _SUFFIX else 600
_TWO_ETH = {"physnet1": "eth1", "physnet2": "eth2"}
_TWO_ENS = {"physnet1": "ens5", "physnet2": "ens6"}

FABRIC = NodeSpec("fabric")
CONTROL = NodeSpec("control", "192.0.2.1")
OBSERVER = NodeSpec(
    "observer",
    "192.0.2.254",
    _TWO_ETH,
    {"physnet1": "198.51.100.254/24", "physnet2": "203.0.113.254/24"},
)
HOSTS = (
    HostSpec("h1", "192.0.2.11", _TWO_ETH, backend=Backend.MACVTAP, spent_ifindexes=_FIRST_IFINDEX),
    HostSpec("h2", "192.0.2.12", _TWO_ENS, backend=Backend.MACVTAP, spent_ifindexes=_FIRST_IFINDEX + 1400),
    HostSpec("h3", "192.0.2.13", _TWO_ETH, backend=Backend.OVS_NATIVE),
    HostSpec("h4", "192.0.2.14", _TWO_ETH, backend=Backend.OVS_HYBRID),
    HostSpec("h5", "192.0.2.15", _TWO_ETH, backend=Backend.LINUXBRIDGE),
)
NODES: tuple[NodeSpec, ...] = (FABRIC, CONTROL, OBSERVER, *HOSTS)
