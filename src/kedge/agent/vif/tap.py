"""The tap that stands for a VM's NIC, made before QEMU opens it (`<target dev=… managed='no'/>`)."""

import time
from collections.abc import Callable

from kedge.model.errors import HostFailure
from kedge.model.network import Vif

from . import ovs_changes
from . import ovs_client as ovs
from .base import PORT_MARK, port_mark
from .link import Link
from .links import Links

_LET_GO_S, _RETRY_S = 5.0, 0.0005


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


def is_for_port(device: Link, vif: Vif) -> bool:
    """Whether Kedge made the device for the VIF's port, whatever type of VIF it was then."""
    return device.alias.startswith(f"{PORT_MARK}{vif.port_id}:")


def moving_to_bridge(links: Links, tap: Link, bridge: Link) -> Callable[[], None]:
    """What puts a tap into a Linux bridge, out of the switch that it is in now. It raises HostFailure.

    From another Linux bridge the kernel moves it in one step. Open vSwitch's datapath in the kernel lets go of a device
    an instant after its database was told so, and until then the device can be in no bridge.
    """
    port = ovs.look().ports.get(tap.name) if ovs.is_reachable() else None

    def move() -> None:
        if port is not None:
            ovs.change(ovs_changes.remove_port(port.bridge, port.uuid))
        deadline = time.monotonic() + _LET_GO_S
        while True:
            try:
                links.set(tap, master=bridge.index)
            except HostFailure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    return move


def host_side_mac(mac: str) -> str:
    """The tap's own MAC address: the guest's with another first byte, as libvirt gives it.

    The two ends of the same wire must differ, or the bridge takes the guest's address for one of its own. A high
    first byte also keeps a bridge, which takes the lowest address of its members, from changing its own.
    """
    first = "fa" if mac.startswith("fe:") else "fe"
    return first + mac[2:]
