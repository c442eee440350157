"""What the chosen options ask of the two hosts, by policy or one by one, and one of them can't do."""

from kedge.model.host_facts import HypervisorFacts
from kedge.model.obstacle import Obstacle
from kedge.model.server import MigrationOptions

from .question import Question

CODES = {"post-copy-unsupported": "the destination's kernel does not let QEMU do post-copy"}


def obstacles(question: Question) -> list[Obstacle]:
    """What of them libvirt or QEMU would refuse, at the latest when the transfer begins."""
    here, there = question.here.hypervisor, question.there.hypervisor
    return beyond(question.options, (question.source, here), (question.destination, there))


def beyond(
    options: MigrationOptions, source: tuple[str, HypervisorFacts], destination: tuple[str, HypervisorFacts]
) -> list[Obstacle]:
    """What of these options is beyond one of these hosts."""
    return _post_copy(*destination) if options.may_go_over else []


def asks_hosts(options: MigrationOptions) -> bool:
    """Whether these options ask for anything that not every host can do."""
    return options.may_go_over


def _post_copy(destination: str, there: HypervisorFacts) -> list[Obstacle]:
    if not there.postcopy_problem:
        return []
    return [
        Obstacle(
            "post-copy-unsupported",
            f"post-copy to {destination}",
            f"{destination} can't take it: {there.postcopy_problem}",
            f"`sysctl vm.unprivileged_userfaultfd=1` on {destination} (/etc/sysctl.d keeps it), or a policy without "
            "post-copy",
        )
    ]
