"""macvtap: the VIF's device is on the physical interface, or on a VLAN device above it."""

from typing import Any

from kedge.model.host import HostBackend
from kedge.model.network import Network, NetworkType, Port, VifType

from .answer import Bound, Refused
from .rules import carrier, refusal, vlan_device

NAME = "macvtap"


def bind(port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
    """Bind to the interface that carries the physical network here, whatever carries it on other hosts.

    `vlan` is there for VLAN segments only. The details are made anew each time, so that nothing of one
    answer is seen in the next.
    """
    reason = refusal(port, network, backend)
    interface = carrier(network, backend)
    if reason or interface is None:
        return Refused(reason or "no interface")
    details: dict[str, Any] = {"connectivity": "l2", "port_filter": False}
    source = interface
    vlan_id = network.segment.segmentation_id
    if network.segment.network_type == NetworkType.VLAN and vlan_id is not None:
        details["vlan"] = vlan_id
        source = vlan_device(interface, vlan_id)
    details |= {"physical_interface": interface, "macvtap_source": source, "macvtap_mode": "bridge"}
    return Bound(NAME, VifType.MACVTAP, details)
