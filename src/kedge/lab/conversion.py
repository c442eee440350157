"""Changes what carries a lab host's networks, as its administrator would: another switch, another parent device.

The host's agent is stopped meanwhile. One that runs mends what it is configured for, as soon as that is taken apart: it
would put an interface back into its Linux bridge that is a port of Open vSwitch by then, and both ways would be open.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from . import fabric, hypervisor
from .cloud import Cloud
from .host import LabHost, backend_of
from .layout import FABRIC_BRIDGES, Backend, HostSpec


def put_open_vswitch_below(cloud: Cloud, name: str) -> None:
    """Give a Linux bridge host Open vSwitch too, which its agent prefers from then on.

    The host's interfaces become ports of Open vSwitch's bridges, and each Linux bridge reaches them by a veth pair. VMs
    that are there go on meanwhile, with a gap of some milliseconds.
    """
    host = cloud.lab.hosts[name]
    spec = replace(host.host_spec, backend=Backend.OVS_NATIVE)
    stays = {network: f"lb-{network}" for network in spec.interfaces}
    with _agent_away(cloud, host):
        hypervisor.start_bridges(host, spec)
        _put_below(host, spec, stays)
        host.backend = Backend.OVS_NATIVE
        host.backends = [backend_of(host, spec), {"driver": "linuxbridge", "mappings": stays}]


def _put_below(host: LabHost, spec: HostSpec, stays: Mapping[str, str]) -> None:
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


def name_backends(cloud: Cloud, name: str, backends: Sequence[dict[str, Any]]) -> None:
    """Let a host's agent have these backends, in this order."""
    host = cloud.lab.hosts[name]
    with _agent_away(cloud, host):
        host.backends = list(backends)


def other_parents(cloud: Cloud, name: str) -> Mapping[str, str]:
    """What `use_other_parents` gives a host: an interface for each physical network."""
    interfaces = cloud.lab.hosts[name].host_spec.interfaces
    return {network: f"{interface}b" for network, interface in interfaces.items()}


def use_other_parents(cloud: Cloud, name: str) -> None:
    """Give a macvtap host another interface on each physical network, and its agent these."""
    host, others = cloud.lab.hosts[name], other_parents(cloud, name)
    with _agent_away(cloud, host):
        for network, interface in others.items():
            fabric.lay_cable(
                host, network, interface, f"{name}-{FABRIC_BRIDGES[network].removeprefix('br-')}b"
            )
        host.backends = [{"driver": "macvtap", "mappings": dict(others)}]


def use_open_vswitch(cloud: Cloud, name: str) -> None:
    """Make an Open vSwitch host of a Linux bridge host on which no VM is."""
    host = cloud.lab.hosts[name]
    spec = replace(host.host_spec, backend=Backend.OVS_NATIVE)
    with _agent_away(cloud, host):
        for interface in spec.interfaces.values():
            host.run(["ip", "link", "set", interface, "nomaster"])
        hypervisor.start_open_vswitch(host, spec)
        host.backend = Backend.OVS_NATIVE
        host.backends = [backend_of(host, spec)]


def use_linux_bridge(cloud: Cloud, name: str) -> None:
    """Take Open vSwitch from a Linux bridge host that got it, instead of what it had or below it. No VM is there."""
    host = cloud.lab.hosts[name]
    bridges, *above = [list(each["mappings"].values()) for each in host.backends]
    with _agent_away(cloud, host):
        hypervisor.stop_open_vswitch(host, [*bridges, "br-int"])
        for device in chain(*above):
            host.run(["ip", "link", "del", device])
        host.backend = Backend.LINUXBRIDGE
        host.backends = [backend_of(host, host.host_spec)]


def rehearsed_s(cloud: Cloud, name: str) -> float:
    """What changing a host takes, in s, tried on an Open vSwitch host without a VM, which gets the same again."""
    began = time.monotonic()
    host = cloud.lab.hosts[name]
    with _agent_away(cloud, host):
        hypervisor.stop_open_vswitch(host, [*host.host_spec.mappings.values(), "br-int"])
        hypervisor.start_open_vswitch(host, host.host_spec)
        host.backends = [backend_of(host, host.host_spec)]
        started = datetime.now(UTC)
    cloud.wait_for(lambda: _heard_since(cloud, name, started), f"a report of {name}'s agent")
    return time.monotonic() - began


def _heard_since(cloud: Cloud, name: str, moment: datetime) -> bool:
    """The same is reported as before, so only the time tells that it was the new agent."""
    agents = cloud.get("/network/v2.0/agents", host=name)["agents"]
    heard = [datetime.fromisoformat(each["heartbeat_timestamp"]).replace(tzinfo=UTC) for each in agents]
    return all(each > moment for each in heard)


@contextmanager
def _agent_away(cloud: Cloud, host: LabHost) -> Iterator[None]:
    """Stop a host's agent meanwhile, then start it with the host's `backends`, and wait until it reports them."""
    agent = cloud.agents[host.name]
    agent.terminate()
    agent.wait(timeout=20)
    yield
    cloud.start_agent(host)
    wanted = [each["driver"] for each in host.backends], [each["mappings"] for each in host.backends]

    def reported() -> bool:
        (found,) = [each for each in cloud.get("/kedge/v1/hosts") if each["name"] == host.name]
        backends = found["backends"]
        return ([each["driver"] for each in backends], [each["mappings"] for each in backends]) == wanted

    cloud.wait_for(reported, f"what {host.name} has now, in its agent's report")


__all__ = [
    "name_backends",
    "other_parents",
    "put_open_vswitch_below",
    "rehearsed_s",
    "use_linux_bridge",
    "use_open_vswitch",
    "use_other_parents",
]
