"""What chosen options ask of the hosts."""

from dataclasses import replace

import pytest

from kedge.core.obstacles import find_obstacles
from kedge.model.convergence import StallAction, StallStep
from kedge.model.host_facts import HostFacts, HypervisorFacts
from kedge.model.server import MigrationOptions, TimeoutAction

from .asking import HERE, THERE, asked

UNABLE = replace(THERE, hypervisor=HypervisorFacts(postcopy_problem="its kernel has no userfaultfd"))
AT_LAST = MigrationOptions(timeout_action=TimeoutAction.POST_COPY)
BY_SCHEDULE = MigrationOptions(schedule=(StallStep(3, StallAction.POST_COPY),))


def found(options: MigrationOptions, here: HostFacts = HERE, there: HostFacts = THERE) -> list[str]:
    question = replace(asked(here=here, there=there), options=options)
    return [each.code for each in find_obstacles(question)]


@pytest.mark.parametrize("options", [AT_LAST, BY_SCHEDULE])
def test_post_copy_needs_a_destination_that_can(options: MigrationOptions) -> None:
    assert found(options, there=UNABLE) == ["post-copy-unsupported"]
    assert found(options, here=replace(UNABLE, machine="one")) == []  # the source only sends
    assert found(options) == []  # nothing is known of it
    assert found(MigrationOptions(), there=UNABLE) == []


def test_the_remedy_is_said() -> None:
    (obstacle,) = find_obstacles(replace(asked(there=UNABLE), options=AT_LAST))
    assert str(obstacle).startswith("post-copy to b: b can't take it: its kernel has no userfaultfd; `sysctl")


def version(libvirt: int, qemu: int, facts: HostFacts) -> HostFacts:
    return replace(facts, hypervisor=HypervisorFacts(libvirt_version=libvirt, qemu_version=qemu))


NEW, DEBIAN_12, OLD = (10_004_000, 10_001_000), (9_000_000, 7_002_022), (5_001_000, 3_001_000)
PARALLEL = MigrationOptions(connections=4)
ZSTD = MigrationOptions(connections=4, compression="zstd")
PARALLEL_THEN_OVER = replace(AT_LAST, connections=4)


@pytest.mark.parametrize(
    ("options", "versions", "expected"),
    [
        (PARALLEL, (DEBIAN_12, DEBIAN_12), []),
        (PARALLEL, (DEBIAN_12, OLD), ["parallel-unsupported"]),
        (PARALLEL, (OLD, DEBIAN_12), ["parallel-unsupported"]),
        (PARALLEL, ((0, 0), (0, 0)), []),
        (MigrationOptions(), (OLD, OLD), []),
        (ZSTD, (DEBIAN_12, NEW), ["compression-unsupported"]),
        (ZSTD, (NEW, DEBIAN_12), ["compression-unsupported"]),
        (ZSTD, (NEW, NEW), []),
        (PARALLEL_THEN_OVER, (NEW, DEBIAN_12), ["parallel-unsupported"]),
        (PARALLEL_THEN_OVER, (NEW, NEW), []),
    ],
)
def test_what_is_too_old_on_either_host(
    options: MigrationOptions, versions: tuple[tuple[int, int], tuple[int, int]], expected: list[str]
) -> None:
    here, there = version(*versions[0], HERE), version(*versions[1], THERE)
    assert found(options, here, there) == expected


def test_each_side_and_each_program_is_said() -> None:
    question = replace(asked(here=version(*OLD, HERE), there=version(*NEW, THERE)), options=PARALLEL)
    (obstacle,) = find_obstacles(question)
    assert obstacle.problem == (
        "a has libvirt 5.1.0, which needs to be 5.2.0 and QEMU 3.1.0, which needs to be 4.0.0"
    )
