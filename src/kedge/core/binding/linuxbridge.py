"""Linux bridge: the VIF is a tap in the network's bridge, which also holds the segment's interface."""

from kedge.model.host import HostBackend
from kedge.model.network import Network, NetworkType, Port, VifType

from .answer import Bound, Refused
from .rules import refusal

NAME = "linuxbridge"


def bridge_name(network_id: str) -> str:
    """The bridge of a network, as Neutron's linuxbridge agent named it."""
    return f"brq{network_id[:11]}"


def bind(port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
    """Bind to the bridge that holds the segment on this host, or to one of the network's own, which is then made.

    The details are those of Neutron up to 2024.2.
    """
    reason = refusal(port, network, backend)
    if reason:
        return Refused(reason)
    segment = network.segment
    tag = "" if segment.network_type == NetworkType.FLAT else f".{segment.segmentation_id}"
    there = backend.bridges.get(f"{segment.physical_network}{tag}")
    details = {"connectivity": "l2", "port_filter": True, "bridge_name": there or bridge_name(network.id)}
    return Bound(NAME, VifType.BRIDGE, details)
