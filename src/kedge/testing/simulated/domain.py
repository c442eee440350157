"""Domains as a simulated libvirt holds them: their text, and what libvirt adds to it when they start."""

from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from kedge.core.domain_xml import Attachment, attachments
from kedge.core.domain_xml.parse import parse, serialise
from kedge.model.domain import DomainState, JobProgress

LIVE = frozenset(
    {
        DomainState.RUNNING,
        DomainState.PAUSED,
        DomainState.INCOMING,
        DomainState.SWITCHOVER,
        DomainState.POSTCOPY_SOURCE,
        DomainState.POSTCOPY_BROKEN,
        DomainState.POSTCOPY_DESTINATION,
    }
)
"""States in which a QEMU is there and holds the domain's devices."""


@dataclass
class SimulatedDomain:
    """A domain on one host. `arrived` is how its incoming migration went, if it came by one."""

    uuid: str
    name: str
    xml: str
    state: DomainState = DomainState.RUNNING
    persistent: bool = True
    arrived: JobProgress | None = None

    @property
    def live(self) -> bool:
        """Whether a QEMU holds its devices."""
        return self.state in LIVE

    def nics(self) -> list[Attachment]:
        """How its interfaces are attached."""
        return attachments(self.xml)


def identity(xml: str) -> tuple[str, str]:
    """UUID and name in a domain XML; either may be empty."""
    root = parse(xml)
    return (root.findtext("uuid") or "").strip().lower(), (root.findtext("name") or "").strip()


def started(xml: str, macvtaps: Iterable[str]) -> str:
    """The XML of a domain that libvirt has started: with device names, aliases and addresses filled in."""
    root, names = parse(xml), iter(macvtaps)
    for number, interface in enumerate(root.findall("devices/interface")):
        if interface.get("type") == "direct":
            for old in interface.findall("target"):
                interface.remove(old)
            etree.SubElement(interface, "target", {"dev": next(names)})
        if interface.find("alias") is None:
            etree.SubElement(interface, "alias", {"name": f"net{number}"})
        if interface.find("address") is None:
            address = {"domain": "0x0000", "bus": f"0x{number + 1:02x}", "slot": "0x00", "function": "0x0"}
            etree.SubElement(interface, "address", {"type": "pci", **address})
    return serialise(root)
