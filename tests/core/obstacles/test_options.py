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
