"""A question to the obstacles, with as little domain around the part in question as there can be."""

from collections.abc import Mapping
from dataclasses import replace

from lxml import etree

from kedge.core.domain_xml.parse import parse
from kedge.core.obstacles import Question, find_obstacles
from kedge.model.host_facts import FileFacts, FileKind, HostFacts
from kedge.model.obstacle import Obstacle

UUID = "5f0c4d53-0b0e-4c61-9df1-5a1f3a0c0001"

SHARED = FileFacts(FileKind.FILE, "nfs4", "0:50", 4711, 1 << 30)
LOCAL = FileFacts(FileKind.FILE, "ext4", "8:1", 12, 1 << 30)
NOTHING = FileFacts()

HERE = HostFacts(machine="one")
THERE = HostFacts(machine="two")


def domain(devices: str = "", above: str = "") -> etree._Element:
    xml = f"<domain type='kvm'><name>vm</name><uuid>{UUID}</uuid>{above}<devices>{devices}</devices></domain>"
    return parse(xml)


def asked(devices: str = "", above: str = "", here: HostFacts = HERE, there: HostFacts = THERE) -> Question:
    """The question whether a domain with these devices, and with `above` beside them, can move from a to b."""
    return Question(domain(devices, above), "a", "b", here, there, "qemu+tls://b/system")


def found(
    devices: str = "", above: str = "", here: HostFacts = HERE, there: HostFacts = THERE
) -> list[Obstacle]:
    """What is in the way of that domain."""
    return find_obstacles(asked(devices, above, here, there))


def codes(devices: str = "", above: str = "", here: HostFacts = HERE, there: HostFacts = THERE) -> list[str]:
    """The codes of what is in its way."""
    return [obstacle.code for obstacle in found(devices, above, here, there)]


def with_files(facts: HostFacts, files: Mapping[str, FileFacts]) -> HostFacts:
    return replace(facts, files=dict(files))
