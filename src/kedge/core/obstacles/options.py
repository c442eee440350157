"""What the chosen options ask of the two hosts, by policy or one by one, and one of them can't do.

The versions are those in which libvirt (its NEWS) and QEMU (its change logs) began to do it.
"""

from dataclasses import dataclass

from kedge.model.host_facts import HypervisorFacts
from kedge.model.obstacle import Obstacle
from kedge.model.server import MigrationOptions

from .hypervisors import version_text
from .question import Question

CODES = {
    "post-copy-unsupported": "the destination's kernel does not let QEMU do post-copy",
    "parallel-unsupported": "libvirt or QEMU can't copy over parallel connections, or not end that in post-copy",
    "compression-unsupported": "libvirt or QEMU can't compress what parallel connections carry",
}

Side = tuple[str, HypervisorFacts]


@dataclass(frozen=True)
class _Need:
    code: str
    what: str
    remedy: str
    libvirt: int
    qemu: int


_PARALLEL = _Need(
    "parallel-unsupported", "parallel connections", "a policy without connections", 5_002_000, 4_000_000
)
_PARALLEL_THEN_OVER = _Need(
    "parallel-unsupported",
    "post-copy after parallel connections",
    "a policy with only one of them",
    5_002_000,
    10_001_000,
)
_ZSTD = _Need(
    "compression-unsupported",
    "zstd on parallel connections",
    "a policy without compression",
    9_004_000,
    5_000_000,
)


def obstacles(question: Question) -> list[Obstacle]:
    """What of them libvirt or QEMU would refuse, at the latest when the transfer begins."""
    here, there = question.here.hypervisor, question.there.hypervisor
    return beyond(question.options, (question.source, here), (question.destination, there))


def beyond(options: MigrationOptions, source: Side, destination: Side) -> list[Obstacle]:
    """What of these options is beyond one of these hosts."""
    found = _post_copy(*destination) if options.may_go_over else []
    for need in _needs(options):
        found += [*_too_old(need, *source), *_too_old(need, *destination)]
    return found


def asks_hosts(options: MigrationOptions) -> bool:
    """Whether these options ask for anything that not every host can do."""
    return options.may_go_over or bool(_needs(options))


def _needs(options: MigrationOptions) -> list[_Need]:
    if not options.connections:
        return []
    if options.compression:
        return [_PARALLEL, _ZSTD]
    return [_PARALLEL_THEN_OVER if options.may_go_over else _PARALLEL]


def _too_old(need: _Need, host: str, facts: HypervisorFacts) -> list[Obstacle]:
    old = [
        f"{name} {version_text(has)}, which needs to be {version_text(wants)}"
        for name, has, wants in (
            ("libvirt", facts.libvirt_version, need.libvirt),
            ("QEMU", facts.qemu_version, need.qemu),
        )
        if 0 < has < wants
    ]
    if not old:
        return []
    remedy = f"a newer one there, or {need.remedy}"
    return [Obstacle(need.code, need.what, f"{host} has {' and '.join(old)}", remedy)]


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
