"""Open vSwitch: the VIF is a port on the integration bridge, directly or behind a Linux bridge (hybrid plug)."""

from kedge.model.host import HostBackend
from kedge.model.network import Network, Port, VifType

from .answer import Bound, Refused
from .rules import refusal

NAME = "openvswitch"


def bind(port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
    """Bind to the host's integration bridge.

    With hybrid plug the tap sits in a Linux bridge of its own, by convention `qbr` + the first 11 characters
    of the port's id, which a veth pair connects to the integration bridge.
    """
    reason = refusal(port, network, backend)
    if reason:
        return Refused(reason)
    details = {
        "connectivity": "l2",
        "port_filter": True,
        "ovs_hybrid_plug": backend.hybrid_plug,
        "ovs_create_tap": True,
        "datapath_type": backend.datapath_type,
        "bridge_name": backend.integration_bridge,
    }
    return Bound(NAME, VifType.OVS, details)
