"""Networks, ports and their bindings, in Neutron's words.

The forms of `vif_type` and `vif_details` are those of Neutron's ML2 mechanism drivers
(openvswitch, linuxbridge, macvtap), so that a binding made by a real Neutron reads the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .mac import normal_mac


class NetworkType(StrEnum):
    """How a segment's frames look on the physical network."""

    FLAT = "flat"
    VLAN = "vlan"


class VifType(StrEnum):
    """How a port is attached to its host; the values are Neutron's `binding:vif_type`."""

    OVS = "ovs"
    BRIDGE = "bridge"
    MACVTAP = "macvtap"
    UNBOUND = "unbound"
    BINDING_FAILED = "binding_failed"


class BindingStatus(StrEnum):
    """A bound port has exactly one ACTIVE binding, and at most one binding per host."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class PortStatus(StrEnum):
    """BUILD: plugged, but its device does not exist until the hypervisor makes it."""

    ACTIVE = "ACTIVE"
    BUILD = "BUILD"
    DOWN = "DOWN"


@dataclass(frozen=True)
class Segment:
    """One layer-2 segment: a physical network, and for `vlan` the tag on it."""

    network_type: NetworkType
    physical_network: str
    segmentation_id: int | None = None


@dataclass(frozen=True)
class Network:
    """A layer-2 network. Kedge's networks have one segment."""

    id: str
    name: str
    segment: Segment
    mtu: int = 1500


@dataclass(frozen=True)
class Port:
    """A NIC of a server, as the network service knows it. `device_id` is the server's UUID.

    `mac_address` is in its normal form, however it was given, as an interface's is when its XML is read.
    """

    id: str
    network_id: str
    mac_address: str
    name: str = ""
    device_id: str = ""
    device_owner: str = ""
    fixed_ips: tuple[str, ...] = ()
    status: PortStatus = PortStatus.DOWN
    vnic_type: str = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mac_address", normal_mac(self.mac_address))


@dataclass(frozen=True)
class ServerAddress:
    """An address of a server, on the network of this name, by its port with this MAC address."""

    server_id: str
    network: str
    mac_address: str
    ip_address: str


@dataclass(frozen=True)
class Binding:
    """How a port is, or is about to be, attached on one host.

    `migration_id` names the migration that made an INACTIVE binding; a leftover of a dead one is
    adopted or replaced, never in the way.
    """

    port_id: str
    host: str
    status: BindingStatus
    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    vnic_type: str = "normal"
    profile: Mapping[str, Any] = field(default_factory=dict)
    migration_id: str | None = None


@dataclass(frozen=True)
class Vif:
    """All that a host needs to plug one port: the port, its network, and this host's own binding.

    It is always built from the binding of the host it is for, never from the other side's. `mac_address` is in its
    normal form, as a port's.
    """

    port_id: str
    network_id: str
    mac_address: str
    segment: Segment
    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    mtu: int = 1500
    fixed_ips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "mac_address", normal_mac(self.mac_address))

    @property
    def tap_name(self) -> str:
        """The tap device's name, Neutron's `tap` + the port id's first 11 characters (IFNAMSIZ is 16)."""
        return f"tap{self.port_id[:11]}"


def vif_of(port: Port, network: Network, binding: Binding) -> Vif:
    """The VIF that `binding`'s host plugs for `port`."""
    return Vif(
        port_id=port.id,
        network_id=network.id,
        mac_address=port.mac_address,
        segment=network.segment,
        vif_type=binding.vif_type,
        vif_details=dict(binding.vif_details),
        mtu=network.mtu,
        fixed_ips=port.fixed_ips,
    )
