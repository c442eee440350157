"""What the limits of `<bandwidth>` mean for the guest."""

from lxml import etree

from kedge.model.network import Vif, VifType


def guest_limits(interface: etree._Element, vif: Vif | None) -> dict[str, dict[str, str]]:
    """The limits that hold for what the guest receives and sends, without the floors.

    Of an `ethernet` interface libvirt limits as `inbound` what the device sends: on a tap the guest receives that, on
    a macvtap the guest has sent it. Elsewhere libvirt knows what the device is. `vif` is how it is attached, if it is
    a port by now.
    """
    names = {"inbound": "received", "outbound": "sent"}
    if interface.get("type") == "ethernet" and vif is not None and vif.vif_type is VifType.MACVTAP:
        names = {"inbound": "sent", "outbound": "received"}
    limits = {
        names[str(limit.tag)]: {
            str(name): str(value) for name, value in limit.attrib.items() if name != "floor"
        }
        for limit in interface.iterfind("bandwidth/*")
    }
    return {name: limit for name, limit in limits.items() if limit}
