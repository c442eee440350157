"""The two libvirts: whether they reach each other, can be told apart, and how old they are."""

from collections.abc import Iterator

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {
    "libvirt-unreachable": "the source's libvirt can't connect to the destination's",
    "same-identity": "libvirt takes the two hosts for one",
}


def obstacles(question: Question) -> list[Obstacle]:
    """Both are found out before libvirt would, which says so only once the migration has begun."""
    here, there = question.here.hypervisor, question.there.hypervisor
    found = []
    if here.connect_problem:
        found.append(
            Obstacle(
                "libvirt-unreachable",
                f"libvirt on {question.destination}",
                f"{question.source} can't connect to {question.libvirt_uri}: {here.connect_problem}",
                "see that it listens there, that a firewall lets it through, and that its certificate and those of "
                f"{question.source} (with TLS: /etc/pki/libvirt) fit",
            )
        )
    # libvirt refuses by that alone (qemuMigrationCookieXMLParse); mainboards with one UUID for all are not rare.
    if here.uuid and here.uuid == there.uuid:
        found.append(
            Obstacle(
                "same-identity",
                f"host UUID {here.uuid}",
                f"{question.source} and {question.destination} both have it, so libvirt takes them for one host",
                "give one of them another (host_uuid in libvirtd.conf), and restart its libvirtd",
            )
        )
    return found


def notes(question: Question) -> Iterator[str]:
    """Nobody tests a move to older software, and sometimes it fails; libvirt and QEMU try it nonetheless."""
    here, there = question.here.hypervisor, question.there.hypervisor
    for what, mine, theirs in (
        ("libvirt", here.libvirt_version, there.libvirt_version),
        ("QEMU", here.qemu_version, there.qemu_version),
    ):
        if 0 < theirs < mine:
            yield (
                f"{what} is {version_text(theirs)} on {question.destination}, older than {version_text(mine)} on "
                f"{question.source}; nobody tests a move to an older one"
            )


def version_text(number: int) -> str:
    """As people write it."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
