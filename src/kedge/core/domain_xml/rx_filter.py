"""Whether the host lets the guest choose which frames its NIC receives (libvirt's `trustGuestRxFilters`).

A tap in a switch hands the guest every frame that is for it: the guest may change its MAC, as bonding does. A macvtap
hands on what is for its own MAC. Of one that libvirt made (`direct`), `trustGuestRxFilters='yes'` lets libvirt set MAC
and multicast groups as the guest asks (virtio only). On any other device libvirt accepts the attribute and does nothing
with it (tried on libvirt 9.0); there it tells Kedge's agent whether a macvtap is to follow its guest. So that a guest
may do after a move what it could do before, and no more, what was true on the source is carried: the attribute is
written where the default says something else.
"""

from lxml import etree

ATTRIBUTE = "trustGuestRxFilters"


def trusts_guest(interface: etree._Element) -> bool:
    """Whether the guest of this interface may change what it receives."""
    said = interface.get(ATTRIBUTE)
    return _default(interface) if said is None else said == "yes"


def set_trust(interface: etree._Element, trusts: bool) -> None:
    """Let the interface, whose `type` is set already, trust its guest or not."""
    if trusts == _default(interface):
        interface.attrib.pop(ATTRIBUTE, "")
    else:
        interface.set(ATTRIBUTE, "yes" if trusts else "no")


def _default(interface: etree._Element) -> bool:
    return interface.get("type") != "direct"
