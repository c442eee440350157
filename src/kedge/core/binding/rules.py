"""The rules that all mechanism drivers share."""

from hashlib import sha1

from kedge.model.host import HostBackend
from kedge.model.network import Network, NetworkType, Port

VLAN_IDS = range(1, 4095)  # IEEE 802.1Q; 0 and 4095 are reserved.
INTERFACE_NAME_MAX = 15  # The kernel's IFNAMSIZ is 16, with the closing zero byte.
_VLAN_SUFFIX_MAX = 5  # ".4094"
_HASH_LENGTH = 6


def carrier(network: Network, backend: HostBackend) -> str | None:
    """The interface or bridge that carries the network's physical network on this host; None if there is none."""
    return backend.mappings.get(network.segment.physical_network)


def refusal(port: Port, network: Network, backend: HostBackend) -> str | None:
    """The first reason why no VIF of `port` can be made by `backend`; None if nothing stands against it."""
    return (
        _vnic_refusal(port)
        or _segment_refusal(network)
        or _mapping_refusal(network, backend)
        or _mtu_refusal(network, backend)
    )


def _vnic_refusal(port: Port) -> str | None:
    if port.vnic_type == "normal":
        return None
    return f"vnic_type {port.vnic_type!r} is not supported, only 'normal' is"


def _segment_refusal(network: Network) -> str | None:
    segment = network.segment
    if segment.network_type == NetworkType.FLAT:
        return None
    if segment.network_type != NetworkType.VLAN:
        return f"network type {str(segment.network_type)!r} is not supported, only 'flat' and 'vlan' are"
    if segment.segmentation_id is None:
        return (
            f"network {network.id} is of type 'vlan' but has no VLAN id; give it a provider:segmentation_id"
        )
    if segment.segmentation_id not in VLAN_IDS:
        return f"VLAN id {segment.segmentation_id} of network {network.id} is not in 1..4094"
    return None


def _mapping_refusal(network: Network, backend: HostBackend) -> str | None:
    if carrier(network, backend):
        return None
    mapped = ", ".join(sorted(backend.mappings)) or "none"
    return (
        f"physical network {network.segment.physical_network!r} is not mapped on this host (mapped: {mapped}); "
        "add it to the agent's mappings"
    )


def _mtu_refusal(network: Network, backend: HostBackend) -> str | None:
    carried = backend.mtus.get(network.segment.physical_network)
    if carried is None or carried >= network.mtu:
        return None
    return (
        f"{carrier(network, backend)} has MTU {carried} and network {network.id} needs {network.mtu}; "
        "raise the one or lower the other"
    )


def vlan_device(interface: str, vlan_id: int) -> str:
    """The name of the VLAN device on `interface`, as Neutron's agents name it.

    `eth1` and 100 give `eth1.100`. A name too long for the kernel is cut and made unique again with the
    first digits of its SHA-1 (neutron_lib `get_interface_name`); the cut does not depend on the VLAN id.
    """
    longest = INTERFACE_NAME_MAX - _VLAN_SUFFIX_MAX
    if len(interface) > longest:
        digest = sha1(interface.encode(), usedforsecurity=False).hexdigest()
        interface = interface[: longest - _HASH_LENGTH] + digest[:_HASH_LENGTH]
    return f"{interface}.{vlan_id}"
