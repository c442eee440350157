"""The tap that stands for a VM's NIC, made before QEMU opens it (`<target dev=… managed='no'/>`)."""

from kedge.model.errors import HostFailure
from kedge.model.network import Vif

from .base import port_mark
from .link import Link
from .links import Links


def ensure_tap(links: Links, vif: Vif, queues: int) -> Link:
    """The VIF's tap, made if it is not there; a new one is down and in no bridge.

    QEMU can open a tap only with as many queues as it was made for, so a tap of the wrong sort is made anew.
    Raises HostFailure if a tap of that name is not Kedge's, or is of the wrong sort and open.
    """
    tap = device_of_port(links, vif)
    if tap is not None and tap.multi_queue != (queues > 1):
        if tap.is_open:
            raise HostFailure(f"tap {tap.name} is open and can't be made anew for {queues} queue(s)")
        links.delete([tap])
        tap = None
    if tap is None:
        tap = links.add_tap(vif.tap_name, port_mark(vif.port_id, vif.vif_type), multi_queue=queues > 1)
    if tap.mtu != vif.mtu:
        links.set(tap, mtu=vif.mtu)
    if tap.mac != host_side_mac(vif.mac_address):
        links.set(tap, address=host_side_mac(vif.mac_address))
    return tap


def device_of_port(links: Links, vif: Vif) -> Link | None:
    """The device that Kedge made for the VIF, if it is there. Raises HostFailure if another has its name."""
    device = links.find(vif.tap_name)
    if device is not None and device.alias != port_mark(vif.port_id, vif.vif_type):
        raise HostFailure(
            f"there is a device {device.name} that Kedge did not make for port {vif.port_id}; "
            "remove it, or stop what uses it"
        )
    return device


def host_side_mac(mac: str) -> str:
    """The tap's own MAC address: the guest's with another first byte, as libvirt gives it.

    The two ends of the same wire must differ, or the bridge takes the guest's address for one of its own. A high
    first byte also keeps a bridge, which takes the lowest address of its members, from changing its own.
    """
    first = "fa" if mac.startswith("fe:") else "fe"
    return first + mac[2:]
