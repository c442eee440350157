"""What a kind of obstacle is found from, and what the two hosts are asked for it."""

from dataclasses import dataclass, field

from lxml import etree

from kedge.core.domain_xml.parse import parse
from kedge.core.placement.fleet import Load
from kedge.model.host_facts import FactsRequest, FileKind, HostFacts, MachineWanted
from kedge.model.placement import HostLimits
from kedge.model.server import MigrationOptions

from .paths import paths_of, volumes_of

_CHECKED = ("partial", "full")
_OF_THE_HOST = ("host-passthrough", "maximum")


@dataclass(frozen=True)
class Question:
    """Can this domain move from one host to the other?

    `domain` is the text that migrates. `here` and `there` are the facts of the source and of the destination,
    whose names are for messages; `libvirt_uri` is the destination's. `limits` and `load` say how much of the
    destination may be given away, and how much is; `options` how it is to move.
    """

    domain: etree._Element
    source: str
    destination: str
    here: HostFacts
    there: HostFacts
    libvirt_uri: str = ""
    limits: HostLimits = field(default_factory=HostLimits)
    load: Load = field(default_factory=Load)
    options: MigrationOptions = field(default_factory=MigrationOptions)

    def missing_there(self, path: str) -> bool:
        """Whether the destination looked and there is nothing."""
        found = self.there.files.get(path)
        return found is not None and found.kind is FileKind.MISSING

    def sizes(self, path: str) -> tuple[int, int] | None:
        """The sizes in bytes of two files at the path, if they differ."""
        mine, other = self.here.files.get(path), self.there.files.get(path)
        if mine is None or other is None or FileKind.FILE not in (mine.kind, other.kind):
            return None
        return (mine.size, other.size) if mine.kind is other.kind and mine.size != other.size else None


def asks_source(domain: etree._Element, libvirt_uri: str) -> FactsRequest:
    """What the source is asked; `libvirt_uri` is the destination's."""
    targets = (target.get("dev", "") for target in domain.iterfind("devices/disk/target"))
    return FactsRequest(
        server_id=_text(domain, "uuid"),
        disks=tuple(target for target in targets if target),
        paths=paths_of(domain),
        volumes=volumes_of(domain),
        connect_to=libvirt_uri,
    )


def asks_destination(domain: etree._Element, live_xml: str, here: HostFacts) -> FactsRequest:
    """What the destination is asked, for the domain as it migrates and as it runs. Raises BadRequest.

    The CPU is the running guest's: libvirt has added to it what QEMU really gave, and holds the destination to that
    (its Prepare phase checks it unless `check='none'`). A guest that sees the host's CPU needs one there that has
    all of the source's.
    """
    kind = domain.find("os/type")
    cpu = parse(live_xml).find("cpu")
    checked = cpu is not None and cpu.get("check") in _CHECKED
    of_the_host = cpu is not None and cpu.get("mode") in _OF_THE_HOST and domain.get("type") == "kvm"
    return FactsRequest(
        name=_text(domain, "name"),
        paths=paths_of(domain),
        volumes=volumes_of(domain),
        machine=MachineWanted(
            emulator=_text(domain, "devices/emulator"),
            arch="" if kind is None else kind.get("arch", ""),
            machine="" if kind is None else kind.get("machine", ""),
            virt_type=domain.get("type", ""),
        ),
        cpu=etree.tostring(cpu, encoding="unicode", with_tail=False) if cpu is not None and checked else "",
        host_cpu=here.hypervisor.cpu if of_the_host else "",
    )


def _text(domain: etree._Element, path: str) -> str:
    return (domain.findtext(path) or "").strip()
