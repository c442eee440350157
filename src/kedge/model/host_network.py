"""How a host's network devices hang together, as its kernel and Open vSwitch say now.

Names mean nothing: a VLAN device may be called `storage`, and a tap may be in another switch than the domain's
XML says, because somebody moved it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class VlanDevice:
    """A VLAN device (IEEE 802.1Q): its id, and the device it is on. Netlink: IFLA_VLAN_ID, IFLA_LINK."""

    parent: str
    vlan_id: int


@dataclass(frozen=True)
class Macvtap:
    """A macvtap: the device it is on, and its mode. Netlink: IFLA_LINK, IFLA_MACVTAP_MODE."""

    parent: str
    mode: str


@dataclass(frozen=True)
class SwitchPort:
    """A port of Open vSwitch, as in its database (ovs-vswitchd.conf.db(5), table Port).

    `bridge` is the real one, also where the port is in a fake bridge. `vlan_mode` is empty where none is set: then a
    port with a tag is an access port, and one without is a trunk of `trunks`, or of all VLANs if there are none.
    """

    bridge: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: str = ""


@dataclass(frozen=True)
class HostNetwork:
    """What adopting has to know of a host's network, by the names of devices.

    Attributes:
        bridges: each Linux bridge with the devices in it.
        vlans: each VLAN device.
        macvtaps: each macvtap.
        switch_ports: each port of Open vSwitch; none where it does not run.
    """

    bridges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vlans: Mapping[str, VlanDevice] = field(default_factory=dict)
    macvtaps: Mapping[str, Macvtap] = field(default_factory=dict)
    switch_ports: Mapping[str, SwitchPort] = field(default_factory=dict)
