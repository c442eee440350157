"""Linux bridge: the VIF is a tap in the network's bridge, which also holds the segment's interface."""

from kedge.model.host import HostBackend
from kedge.model.network import Network, Port, VifType

from .answer import Bound, Refused
from .rules import refusal

NAME = "linuxbridge"


def bridge_name(network_id: str) -> str:
    """The bridge of a network, as Neutron's linuxbridge agent named it."""
    return f"brq{network_id[:11]}"


def bind(port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
    """Bind to the network's bridge on this host (the details are those of Neutron up to 2024.2)."""
    reason = refusal(port, network, backend)
    if reason:
        return Refused(reason)
    details = {"connectivity": "l2", "port_filter": True, "bridge_name": bridge_name(network.id)}
    return Bound(NAME, VifType.BRIDGE, details)
