"""How a domain's interfaces are attached to the host that it is on."""

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from kedge.model.mac import normal_mac
from kedge.model.network import Vif

from .parse import parse
from .rx_filter import trusts_guest
from .verdicts import strangeness


@dataclass(frozen=True)
class Attachment:
    """One `<interface>`, as it is in a domain XML; what is not there is None.

    Attributes:
        kind: the interface's type: `ethernet`, `bridge`, `direct`, `network`, `hostdev` …
        mac: in its normal form, as `kedge.model.mac` says.
        target_dev: the device on the host; a running domain's XML also has the names that libvirt chose.
        source_dev, mode: of a `direct` interface.
        source_bridge: of a `bridge` interface, and of a `network` one while the domain runs.
        interfaceid: the Open vSwitch port's, for a `virtualport` that has one.
        vlan_tags: VLAN ids that libvirt sets on the port.
        mtu: in bytes, as the guest is told.
        queues: number of queue pairs.
        trusts_guest: whether the guest may change what it receives; see `rx_filter`.
        alias: the name of the NIC; one that starts with `ua-` was chosen by whoever made the domain.
    """

    kind: str
    mac: str | None = None
    model: str | None = None
    target_dev: str | None = None
    source_dev: str | None = None
    source_bridge: str | None = None
    source_network: str | None = None
    mode: str | None = None
    virtualport_type: str | None = None
    interfaceid: str | None = None
    vlan_tags: tuple[int, ...] = ()
    mtu: int | None = None
    queues: int = 1
    alias: str | None = None
    trusts_guest: bool = True


def attachments(xml: str) -> list[Attachment]:
    """One entry for each interface of a domain XML, in its order. Raises BadRequest for a bad XML."""
    return [attachment(interface) for interface in interfaces(parse(xml))]


def strange_nics(xml: str) -> list[list[str]]:
    """For each interface, in its order, what says that it is no port of a network that Kedge knows: clauses from the
    verb on. Raises BadRequest for a bad XML.
    """
    return [strangeness(interface) for interface in interfaces(parse(xml))]


def nic_of(vif: Vif, nics: Sequence[Attachment]) -> Attachment | None:
    """The NIC that uses a VIF as Kedge plugs it, if one of these does."""
    for nic in nics:
        if nic.mac != vif.mac_address:
            continue
        if nic.target_dev == vif.tap_name:
            return nic
    return None


def interfaces(root: etree._Element) -> list[etree._Element]:
    """The `<interface>` elements of a domain."""
    return root.findall("devices/interface")


def attachment(interface: etree._Element) -> Attachment:
    """What an `<interface>` element says."""
    return Attachment(
        kind=interface.get("type", ""),
        mac=mac_of(interface),
        model=_get(interface, "model", "type"),
        target_dev=_get(interface, "target", "dev"),
        source_dev=_get(interface, "source", "dev"),
        source_bridge=_get(interface, "source", "bridge"),
        source_network=_get(interface, "source", "network"),
        mode=_get(interface, "source", "mode"),
        virtualport_type=_get(interface, "virtualport", "type"),
        interfaceid=_get(interface, "virtualport/parameters", "interfaceid"),
        vlan_tags=tuple(_number(tag.get("id")) or 0 for tag in interface.findall("vlan/tag")),
        mtu=_number(_get(interface, "mtu", "size")),
        queues=_number(_get(interface, "driver", "queues")) or 1,
        alias=_get(interface, "alias", "name"),
        trusts_guest=trusts_guest(interface),
    )


def mac_of(interface: etree._Element) -> str | None:
    """The MAC address of an `<interface>`, in its normal form."""
    address = _get(interface, "mac", "address")
    return normal_mac(address) if address else None


def _get(interface: etree._Element, path: str, attribute: str) -> str | None:
    element = interface.find(path)
    return None if element is None else element.get(attribute)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
