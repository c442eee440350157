"""What every backend's plugger does, and the marks by which Kedge knows its own devices.

Nothing about VIFs is written down beside the devices themselves: what Kedge makes carries a mark, and what
carries no mark is never removed. An agent that was killed and started again, or a newer version of it, thus
finds everything that the older one made.

    kernel device, `ifalias`     kedge:port:<port id>:<vif type>              made for one port
                                 kedge:network:<network id>:<member>          a bridge, and what it joins the taps to
                                 kedge:vlan:<physical network>:<VLAN id>      a VLAN device
    kernel device, group         1801806951: made an instant ago, and to be marked in the next
    OVS Port, `external_ids`     kedge-port=<port id>, kedge-patch=<physical network>
    OVS Bridge, `external_ids`   kedge-vlan:<physical network>:<VLAN id or flat>=<local VLAN>
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure
from kedge.model.host import HostBackend
from kedge.model.network import NetworkType, Segment, Vif, VifType

from .link import Link
from .links import Links

PORT_MARK = "kedge:port:"
NETWORK_MARK = "kedge:network:"
VLAN_MARK = "kedge:vlan:"


@dataclass(frozen=True)
class Loose:
    """Something of Kedge's that no VIF uses. `what` names it, the same at every look; `remove` removes it."""

    what: str
    remove: Callable[[], object]


class Plugger(Protocol):
    """Plugs the VIFs of one `vif_type`; registered in the entry-point group `kedge.vif` under that type.

    Every method may be called at any time and any number of times, from any thread; each call looks at the
    host anew. All raise HostFailure when the kernel or Open vSwitch refuses, or when the host is not set up
    as its configuration says.

    `target` is the name of the VIF's device as the running domain's XML has it (`<target dev=…>`). It is
    needed only for a VIF that Kedge did not plug, that of an adopted server; without it the device is
    looked for where `plug` would have made it.
    """

    driver: ClassVar[str]
    """The `HostBackend.driver` whose settings this plugger works with."""

    def __init__(self, backend: HostBackend | None, links: Links) -> None:
        """`backend` is None where the agent is not configured for this driver; then VIFs can only be removed."""

    def plug(self, vif: Vif, queues: int = 1) -> None:
        """Plug and wire a VIF; a VIF that is plugged already is checked and mended.

        Called on the destination before a migration starts, on a server's host before its domain is
        defined, and again whenever `state` is less than it was. The domain may not exist yet, be incoming,
        or run. Afterwards the VIF is wired and tagged, and silent: at no instant does a frame of another
        network reach it, nothing announces its MAC, and the host itself emits nothing on it. `queues` is
        the NIC's number of queue pairs. What Open vSwitch still has to carry out is waited for by `ovs_client.wait`.
        """
        ...

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """How far the VIF is, as the host's devices show it: UP only if each part of its wiring is in place.

        Called in any state of the domain. BUILD: all is wired, and the device is still to be made by the
        hypervisor. ABSENT: not plugged, or something of its wiring is missing; `plug` mends that.
        """
        ...

    def place(self, device: str, mac: str, *, here: bool) -> None:
        """Let neighbours on this host find the VM of `device` behind it (`here`), or wherever else it is.

        `mac` is that of its NIC. Called in the instant in which the VM pauses to leave, or runs, and again whenever it
        may not have been. A switch that heeds at once what it learns from frames needs nothing; a device that is
        another plugger's is left alone.
        """
        ...

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """The device on which the VM's own frames can be seen; None while it does not exist.

        Called from when a migration is prepared until it is settled, on both sides.
        """
        ...

    def receives_for_one(self, device: str) -> bool:
        """Whether the VM behind `device`, which this plugger made, receives for one MAC; a switch learns them all."""
        ...

    def receive_for(self, device: str, mac: str) -> None:
        """Give the VM behind `device` what is sent to this MAC, instead of its NIC's: the guest changed it.

        Called only for a guest that may, and where `receives_for_one`.
        """
        ...

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """The MACs that the guest sends as, in lower case, as the host's switch has heard and not forgotten them.

        Both Open vSwitch and Linux bridge forget after 300 s. A macvtap has one, the one that it receives for.
        """
        ...

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """Send Ethernet frames with the VM's source MAC so that the local switch and the fabric learn its place.

        Called only once the VM runs on this host. The frames are not delivered to the VM.
        """
        ...

    def unplug(self, port_ids: Collection[str]) -> None:
        """Remove what Kedge made here for these ports, and then the shared parts that nothing uses any more.

        Called when no domain here uses the VIF any more: after a migration on its source, after a rollback
        on its destination, and for VIFs that nothing explains. It goes by the marks alone, so the
        binding may be gone. What Kedge did not make stays.
        """
        ...

    def plugged(self) -> list[VifReport]:
        """Every VIF of this type that Kedge made on this host, half-made ones too, found by their marks."""
        ...

    def loose(self) -> Sequence[Loose]:
        """What was made for VIFs to share and none uses any more: what an agent left that was killed in `unplug`."""
        ...


class Taking(NamedTuple):
    """`move` moves a tap, out of any switch; `learned`: where Open vSwitch learns its VM's MAC then (`learned_at`)."""

    move: Callable[[], None]
    learned: Sequence[tuple[str, str, int]] = ()


@runtime_checkable
class Switch(Plugger, Protocol):
    """A plugger whose VIFs are taps in a switch: it can take over one that its VM holds open, from another switch.

    The VM goes on, and hears nothing from when the tap leaves the one until it is in the other.
    """

    def make_ready(self, vif: Vif) -> None:
        """Make all of the VIF but its tap, silent; what is there already stays."""
        ...

    def taking(self, vif: Vif, tap: Link) -> Taking:
        """Make all of the VIF ready for the tap, as it is now, so that it can be moved here in an instant."""
        ...

    def leave(self, vif: Vif) -> None:
        """Remove what is left of the VIF here, and what no other VIF uses of the rest: its tap is in another switch."""
        ...


def carrier(backend: HostBackend | None, vif: Vif) -> str:
    """The interface or bridge that carries the VIF's physical network here; raises HostFailure if none does."""
    mappings = backend.mappings if backend else {}
    physical_network = vif.segment.physical_network
    if physical_network not in mappings:
        raise HostFailure(
            f"physical network {physical_network!r} of port {vif.port_id} is not mapped on this host; "
            "add it to the agent's mappings"
        )
    return mappings[physical_network]


def vlan_of(segment: Segment) -> int | None:
    """The segment's VLAN id; None for a flat one."""
    return segment.segmentation_id if segment.network_type == NetworkType.VLAN else None


def port_mark(port_id: str, vif_type: VifType) -> str:
    """The `ifalias` of a device that Kedge made for one port."""
    return f"{PORT_MARK}{port_id}:{vif_type.value}"


def port_of(alias: str, vif_type: VifType) -> str | None:
    """The port that a device was made for; None if Kedge did not make it, or for another type of VIF."""
    if not alias.startswith(PORT_MARK) or not alias.endswith(f":{vif_type.value}"):
        return None
    return alias.removeprefix(PORT_MARK).removesuffix(f":{vif_type.value}")
