"""The name that the domain would arrive with, and who has it on the destination.

libvirt holds names and UUIDs of defined and of running domains alike unique on a host (virDomainObjListAdd, which
its Prepare phase calls): a domain of that name with another UUID makes it refuse the incoming one. A domain with the
same UUID is the planner's affair, which knows more of it.
"""

from kedge.model.obstacle import Obstacle

from .question import Question

CODES = {"name-taken": "another domain on the destination has the server's name"}


def obstacles(question: Question) -> list[Obstacle]:
    """The name that is taken."""
    uuid = (question.domain.findtext("uuid") or "").strip().lower()
    holder = question.there.namesake
    if holder is None or holder.uuid.lower() == uuid:
        return []
    return [
        Obstacle(
            "name-taken",
            f"name {holder.name}",
            f"another domain on {question.destination} is named {holder.name} ({holder.state}, UUID {holder.uuid}), "
            "and libvirt takes a name once per host",
            "rename that one (`virsh domrename`, while it is shut off) or remove it",
        )
    ]
