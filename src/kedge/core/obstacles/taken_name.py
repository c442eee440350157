"""The name that the domain would arrive with, and who has it on the destination.

libvirt holds names and UUIDs of defined and of running domains alike unique on a host (virDomainObjListAdd, which
its Prepare phase calls): a domain of that name with another UUID makes it refuse the incoming one.
"""

from collections.abc import Iterable

from kedge.core.domain_xml.parse import parse
from kedge.model.domain import DomainSummary


def name_obstacles(xml: str, destination: str, there: Iterable[DomainSummary]) -> list[str]:
    """One reason for each domain `there`, on the destination, that has the arriving domain's name and another UUID.

    Raises CannotMigrate if the XML can't be read.
    """
    root = parse(xml)
    name = (root.findtext("name") or "").strip()
    uuid = (root.findtext("uuid") or "").strip().lower()
    return [
        f"another domain on {destination} is named {name} ({each.state}, UUID {each.uuid}), and libvirt takes a name "
        f"once per host; rename that one (`virsh domrename`, while it is shut off) or remove it"
        for each in there
        if each.name == name and each.uuid.lower() != uuid
    ]
