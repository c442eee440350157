"""What an interface has from its libvirt `<network>` or portgroup, and would lose with it.

libvirt resolves a network when the domain starts. The live XML shows the result (`type='bridge'` with the `<vlan>`,
`<virtualport>`, `<bandwidth>` and `<port isolated>` in which network, portgroup and interface are merged); the
migratable XML has what the interface says and the network's name, for the destination is to resolve it anew
(virDomainNetDefFormat, VIR_DOMAIN_DEF_FORMAT_ACTUAL_NET). Kedge attaches the interface without the network, so what
is in force must stand in the interface itself before it is rewritten.
"""

from lxml import etree

from kedge.model.errors import Conflict

from .attachments import attachment, interfaces
from .parse import parse, serialise
from .rx_filter import set_trust, trusts_guest

# In the order in which libvirt prints them, behind <source>.
_GIVEN = ("vlan", "virtualport", "bandwidth", "port")


def uses_networks(migratable: str) -> bool:
    """Whether an interface of this domain is attached to a libvirt network. Raises BadRequest for a bad XML."""
    return any(interface.get("type") == "network" for interface in interfaces(parse(migratable)))


def with_what_networks_gave(migratable: str, live: str) -> str:
    """The migratable XML, with what the live one has from libvirt networks in its interfaces.

    Raises Conflict if the two don't have the same interfaces, because a NIC came or went in between.
    """
    root = parse(migratable)
    stored, running = interfaces(root), interfaces(parse(live))
    if [attachment(each).mac for each in stored] != [attachment(each).mac for each in running]:
        raise Conflict("A NIC of the domain came or went while it was looked at; try again")
    for interface, actual in zip(stored, running, strict=True):
        if interface.get("type") == "network":
            _take_over(interface, actual)
    return serialise(root)


def _take_over(interface: etree._Element, actual: etree._Element) -> None:
    previous = interface.find("source")
    for tag in _GIVEN:
        own, given = interface.find(tag), actual.find(tag)
        if own is not None and given is not None:
            given.tail = own.tail
            interface.replace(own, given)
        elif given is not None:
            given.tail = interface.text
            if previous is None:
                interface.insert(0, given)
            else:
                previous.addnext(given)
        previous = interface.find(tag) if interface.find(tag) is not None else previous
    set_trust(interface, trusts_guest(actual))
