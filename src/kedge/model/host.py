"""Hosts, and the network backends that they offer."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HostBackend:
    """One mechanism driver's agent on a host, with what it is configured to do.

    `mappings` goes from a physical network to what carries it here: for macvtap and linuxbridge an
    interface (`eth1`), for openvswitch a bridge (`br-physnet1`). `mtus` holds the MTU in bytes of what
    carries each physical network, where the agent could read it. `bridges` holds, for linuxbridge, the bridges of
    somebody's own that VIFs go into, because a segment's interface is in them: by `physnet1` for the flat segment,
    by `physnet1.100` for a VLAN.
    """

    driver: str
    mappings: Mapping[str, str] = field(default_factory=dict)
    mtus: Mapping[str, int] = field(default_factory=dict)
    bridges: Mapping[str, str] = field(default_factory=dict)
    integration_bridge: str = "br-int"
    datapath_type: str = "system"
    hybrid_plug: bool = False


@dataclass(frozen=True)
class Host:
    """A hypervisor host as its agent reported it last.

    `libvirt_uri` is what the *source's* libvirtd connects to for a peer-to-peer migration
    (`qemu+tls://…`), `migrate_uri` where QEMU's migration stream goes (`tcp://ADDRESS`). `disabled` names the
    drivers of those backends that an administrator has taken out of use: what is bound by them stays so.
    `migration_network` is the name of the network on which that is, "" if nobody gave it one.
    `forced_down`: an operator said that the host is off, so nothing runs there, whatever its disks hold (the word
    is Nova's). Until that is taken back, the host is not alive and its agent is not asked.
    """

    name: str
    url: str = ""
    alive: bool = True
    backends: tuple[HostBackend, ...] = ()
    libvirt_uri: str = ""
    migrate_uri: str = ""
    libvirt_version: int = 0
    disabled: tuple[str, ...] = ()
    forced_down: bool = False
    migration_network: str = ""
