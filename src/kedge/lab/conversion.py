"""Changes what carries a lab host's networks, as its administrator would: another switch, another parent device."""

from collections.abc import Mapping
from dataclasses import replace

from . import fabric, hypervisor
from .cloud import Cloud
from .host import LabHost, backend_of
from .layout import FABRIC_BRIDGES, Backend


def put_open_vswitch_below(cloud: Cloud, name: str) -> None:
    """Give a Linux bridge host Open vSwitch too, which its agent prefers from then on.

    The host's interfaces become ports of Open vSwitch's bridges, and each Linux bridge reaches them by a veth pair. VMs
    that are there go on meanwhile, with a gap of some milliseconds.
    """
    host = cloud.lab.hosts[name]
    spec = replace(host.host_spec, backend=Backend.OVS_NATIVE)
    hypervisor.start_bridges(host, spec)
    stays = {network: f"lb-{network}" for network in spec.interfaces}
    for network, interface in spec.interfaces.items():
        bridge, below, above = spec.mappings[network], f"ovs-{network}", stays[network]
        host.shell(
            f"ip link add {above} type veth peer name {below}\n"
            f"ethtool -K {above} tx off >/dev/null; ethtool -K {below} tx off >/dev/null\n"
            f"ip link set {below} up; ip link set {above} up\n"
            f"ovs-vsctl --timeout=20 add-port {bridge} {below}\n"
            # At no instant are both ways open: that would be a loop.
            f"old=$(readlink /sys/class/net/{interface}/master) || old=\n"
            f'if [ -n "$old" ]; then ip link set {interface} nomaster; ip link set {above} master ${{old##*/}}; fi\n'
            f"ovs-vsctl --timeout=20 add-port {bridge} {interface}\n"
        )
    host.backend = Backend.OVS_NATIVE
    host.backends = [backend_of(host, spec), {"driver": "linuxbridge", "mappings": stays}]
    restart_agent(cloud, host)


def other_parents(cloud: Cloud, name: str) -> Mapping[str, str]:
    """What `use_other_parents` gives a host: an interface for each physical network."""
    interfaces = cloud.lab.hosts[name].host_spec.interfaces
    return {network: f"{interface}b" for network, interface in interfaces.items()}


def use_other_parents(cloud: Cloud, name: str) -> None:
    """Give a macvtap host another interface on each physical network, and its agent these."""
    host, others = cloud.lab.hosts[name], other_parents(cloud, name)
    for network, interface in others.items():
        fabric.lay_cable(host, network, interface, f"{name}-{FABRIC_BRIDGES[network].removeprefix('br-')}b")
    host.backends = [{"driver": "macvtap", "mappings": dict(others)}]
    restart_agent(cloud, host)


def use_open_vswitch(cloud: Cloud, name: str) -> None:
    """Make an Open vSwitch host of a Linux bridge host on which no VM is."""
    host = cloud.lab.hosts[name]
    spec = replace(host.host_spec, backend=Backend.OVS_NATIVE)
    for interface in spec.interfaces.values():
        host.run(["ip", "link", "set", interface, "nomaster"])
    hypervisor.start_open_vswitch(host, spec)
    host.backend = Backend.OVS_NATIVE
    host.backends = [backend_of(host, spec)]
    restart_agent(cloud, host)


def use_linux_bridge(cloud: Cloud, name: str) -> None:
    """Take Open vSwitch from a Linux bridge host that got it, and on which no VM is."""
    host = cloud.lab.hosts[name]
    hypervisor.stop_open_vswitch(host, [*host.backends[0]["mappings"].values(), "br-int"])
    host.backend = Backend.LINUXBRIDGE
    host.backends = [backend_of(host, host.host_spec)]
    restart_agent(cloud, host)


def restart_agent(cloud: Cloud, host: LabHost) -> None:
    """Start a host's agent anew, with what it is configured with now, and wait until it reports that."""
    agent = cloud.agents[host.name]
    agent.terminate()
    agent.wait(timeout=20)
    cloud.start_agent(host)
    wanted = [each["driver"] for each in host.backends], [each["mappings"] for each in host.backends]

    def reported() -> bool:
        (found,) = [each for each in cloud.get("/kedge/v1/hosts") if each["name"] == host.name]
        backends = found["backends"]
        return ([each["driver"] for each in backends], [each["mappings"] for each in backends]) == wanted

    cloud.wait_for(reported, f"what {host.name} has now, in its agent's report")


__all__ = [
    "other_parents",
    "put_open_vswitch_below",
    "restart_agent",
    "use_linux_bridge",
    "use_open_vswitch",
    "use_other_parents",
]
