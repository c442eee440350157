"""Announces a VM from the host on which it has just begun to run.

QEMU announces too, but its one burst of RARP is lost wherever the switch is not ready for it. Switches learn a
place from any frame; neighbours learn nothing from RARP, so the VM's known addresses are announced as well.
"""

import ipaddress
import logging
import struct
import threading
from collections.abc import Sequence

from kedge.agent.frames.packets import ARP, ARP_REQUEST, IPV6, RARP, arp, ethernet, neighbour_discovery
from kedge.agent.vif import Pluggers
from kedge.model.errors import KedgeError
from kedge.model.network import Vif

log = logging.getLogger(__name__)

_BROADCAST = b"\xff" * 6
_RARP_REQUEST = 3
_NEIGHBOUR_ADVERTISEMENT = 136
_OVERRIDE = 0x20000000
_TARGET_LINK_LAYER_ADDRESS = 2
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed


def frames(mac: str, ips: Sequence[str]) -> list[bytes]:
    """The Ethernet frames that announce a VM: a RARP as QEMU sends it, then one for each of its addresses.

    For IPv4 a gratuitous ARP in the request form (RFC 5227), for IPv6 an unsolicited neighbour advertisement
    to all nodes with the override flag (RFC 4861, 7.2.6). Raises ValueError for what is no address.
    """
    source = bytes.fromhex(mac.replace(":", ""))
    return [_rarp(source), *(_announcement(source, ipaddress.ip_address(ip)) for ip in ips)]


class Announcer:
    """Announces VMs through a host's pluggers: at once, and then repeatedly from a thread."""

    def __init__(self, pluggers: Pluggers) -> None:
        self._pluggers = pluggers
        self._lock = threading.Lock()
        self._repeats: dict[str, tuple[threading.Thread, threading.Event]] = {}

    def announce(self, vif: Vif, repeat: int = 5, interval_ms: int = 150, target: str | None = None) -> None:
        """Announce now, and `repeat - 1` times more, `interval_ms` apart; a repetition under way for the port ends.

        Raises HostFailure if the first burst can't be sent.
        """
        self.cancel(vif.port_id)
        burst = frames(vif.mac_address, vif.fixed_ips)
        self._pluggers.inject(vif, burst, target)
        if repeat < 2:
            return
        stop = threading.Event()

        def again() -> None:
            for _ in range(repeat - 1):
                if stop.wait(interval_ms / 1000) or not self._try(vif, burst, target):
                    return

        thread = threading.Thread(target=again, name=f"announce-{vif.port_id[:11]}", daemon=True)
        with self._lock:
            self._repeats[vif.port_id] = (thread, stop)
        thread.start()

    def cancel(self, port_id: str) -> None:
        """Stop announcing: the VM may have left, and another host speaks for it now. Returns when none will be sent."""
        with self._lock:
            thread, stop = self._repeats.pop(port_id, (None, None))
        if thread is not None and stop is not None:
            stop.set()
            thread.join()

    def close(self) -> None:
        """Stop all announcing."""
        for port_id in list(self._repeats):
            self.cancel(port_id)

    def _try(self, vif: Vif, burst: Sequence[bytes], target: str | None) -> bool:
        try:
            self._pluggers.inject(vif, burst, target)
        except KedgeError as error:
            log.warning("stopped announcing port %s: %s", vif.port_id, error)
            return False
        return True


def _rarp(mac: bytes) -> bytes:
    return ethernet(_BROADCAST, mac, RARP, arp(_RARP_REQUEST, mac, bytes(4), mac, bytes(4)))


def _announcement(mac: bytes, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    if isinstance(ip, ipaddress.IPv4Address):
        return ethernet(_BROADCAST, mac, ARP, arp(ARP_REQUEST, mac, ip.packed, bytes(6), ip.packed))
    body = struct.pack("!I", _OVERRIDE) + ip.packed + bytes((_TARGET_LINK_LAYER_ADDRESS, 1)) + mac
    packet = neighbour_discovery(_NEIGHBOUR_ADVERTISEMENT, ip.packed, _ALL_NODES, body)
    return ethernet(_ALL_NODES_MAC, mac, IPV6, packet)
