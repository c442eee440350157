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
    first: dict[object, etree._Element] = {}
    for child in interface:
        first.setdefault(child.tag, child)

    def get(tag: str, attribute: str) -> str | None:
        element = first.get(tag)
        return None if element is None else element.get(attribute)

    return Attachment(
        kind=interface.get("type", ""),
        mac=_normal(get("mac", "address")),
        model=get("model", "type"),
        target_dev=get("target", "dev"),
        source_dev=get("source", "dev"),
        source_bridge=get("source", "bridge"),
        source_network=get("source", "network"),
        mode=get("source", "mode"),
        virtualport_type=get("virtualport", "type"),
        interfaceid=_interfaceid(interface) if "virtualport" in first else None,
        vlan_tags=_vlan_tags(interface) if "vlan" in first else (),
        mtu=_number(get("mtu", "size")),
        queues=_number(get("driver", "queues")) or 1,
        alias=get("alias", "name"),
        trusts_guest=trusts_guest(interface),
    )


def mac_of(interface: etree._Element) -> str | None:
    """The MAC address of an `<interface>`, in its normal form."""
    mac = interface.find("mac")
    return None if mac is None else _normal(mac.get("address"))


def _normal(address: str | None) -> str | None:
    return normal_mac(address) if address else None


def _interfaceid(interface: etree._Element) -> str | None:
    parameters = interface.find("virtualport/parameters")
    return None if parameters is None else parameters.get("interfaceid")


def _vlan_tags(interface: etree._Element) -> tuple[int, ...]:
    return tuple(_number(tag.get("id")) or 0 for tag in interface.findall("vlan/tag"))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
