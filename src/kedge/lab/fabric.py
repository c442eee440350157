"""The lab's cables and switches: veth pairs from every node to Linux bridges in the fabric's namespace."""

from collections.abc import Mapping

from . import processes
from .layout import FABRIC, FABRIC_BRIDGES, MANAGEMENT, NodeSpec
from .node import Node

# All of the fabric's ends of cables are in one group, so that one call removes them and what hangs on them.
CABLES = 75


def build(nodes: Mapping[str, Node]) -> None:
    """Makes the bridges, and a cable from each node to each network it takes part in."""
    lines = []
    for bridge in FABRIC_BRIDGES.values():
        # A bridge without VLAN filtering passes tagged frames as they are.
        options = "stp_state 0 forward_delay 0 mcast_snooping 0"
        lines += [f"link add {bridge} type bridge {options}", f"link set {bridge} up"]
    for node in nodes.values():
        for network, interface in _interfaces(node.spec).items():
            bridge = FABRIC_BRIDGES[network]
            cable = f"{node.name}-{bridge.removeprefix('br-')}"
            lines += [
                f"link add {cable} group {CABLES} type veth peer name {interface} netns {node.netns}",
                f"link set {cable} master {bridge} up",
            ]
    # Run from outside, where the namespaces have names.
    processes.run(["ip", "-n", FABRIC.netns, "-batch", "-"], text_input="\n".join(lines) + "\n")
    for node in nodes.values():
        if node.name != FABRIC.name:
            _configure(node)


def lay_cable(node: Node, network: str, interface: str, cable: str) -> None:
    """Gives a node one more interface on a network, as `cable` on the fabric's side."""
    lines = [
        f"link add {cable} group {CABLES} type veth peer name {interface} netns {node.netns}",
        f"link set {cable} master {FABRIC_BRIDGES[network]} up",
    ]
    processes.run(["ip", "-n", FABRIC.netns, "-batch", "-"], text_input="\n".join(lines) + "\n")
    node.shell(f"ethtool -K {interface} tx off >/dev/null\nip link set {interface} up\n")


def remove_cables() -> None:
    """Removes every cable, and with them what was made on their ends, before the namespaces go."""
    processes.run(["ip", "-n", FABRIC.netns, "link", "del", "group", str(CABLES)], check=False)


def spend_ifindexes(node: Node, count: int) -> None:
    """Makes the node's next interface get an index over `count`. A namespace's counter never goes back."""
    group = CABLES + 1
    lines = [f"link add spent{i}a group {group} type veth peer name spent{i}b" for i in range(count // 2)]
    node.run(["ip", "-batch", "-"], text_input="\n".join(lines) + "\n")
    node.run(["ip", "link", "del", "group", str(group)])


def _interfaces(spec: NodeSpec) -> dict[str, str]:
    management = {"management": MANAGEMENT} if spec.address else {}
    return management | dict(spec.interfaces)


def _configure(node: Node) -> None:
    spec = node.spec
    lines = [f"ip addr add {spec.address}/24 brd + dev {MANAGEMENT}"] if spec.address else []
    for physical_network, interface in spec.interfaces.items():
        # A checksum left to the NIC is never finished on a veth, and Open vSwitch's userspace datapath reads
        # frames as they are.
        lines.append(f"ethtool -K {interface} tx off >/dev/null")
        if physical_network in spec.addresses:
            lines.append(f"ip addr add {spec.addresses[physical_network]} brd + dev {interface}")
    lines += [f"ip link set {interface} up" for interface in _interfaces(spec).values()]
    node.shell("\n".join(lines) + "\n")
