"""libvirt's states in Kedge's words, row by row; each row marked * was seen on libvirt 9.0 and QEMU 7.2."""

import libvirt
import pytest

from kedge.agent.domains.domain_state import Job, domain_state, job_of, progress_of
from kedge.model.domain import DomainState

RUNNING, PAUSED, SHUTOFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_SHUTOFF
MIGRATION, STARTING = libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP

TABLE = [
    # state, reason, job, persistent, what it is
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, Job.NONE, True, DomainState.RUNNING),  # *
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, Job.OUTGOING, True, DomainState.RUNNING),  # * pre-copy
    (
        RUNNING,
        libvirt.VIR_DOMAIN_RUNNING_UNPAUSED,
        Job.OUTGOING,
        True,
        DomainState.RUNNING,
    ),  # * aborted in the pause
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED, Job.NONE, True, DomainState.RUNNING),  # * arrived
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED, Job.INCOMING, True, DomainState.RUNNING),
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED, Job.NONE, True, DomainState.RUNNING),
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY, Job.INCOMING, False, DomainState.POSTCOPY_DESTINATION),
    (RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED, Job.NONE, False, DomainState.POSTCOPY_DESTINATION),
    (libvirt.VIR_DOMAIN_BLOCKED, libvirt.VIR_DOMAIN_BLOCKED_UNKNOWN, Job.NONE, True, DomainState.RUNNING),
    (PAUSED, STARTING, Job.INCOMING, False, DomainState.INCOMING),  # * QEMU is being started
    (PAUSED, STARTING, Job.OTHER, True, DomainState.PAUSED),  # an ordinary start
    (PAUSED, MIGRATION, Job.INCOMING, False, DomainState.INCOMING),  # *
    (PAUSED, MIGRATION, Job.INCOMING, True, DomainState.INCOMING),  # * defined, an instant before it runs
    (PAUSED, MIGRATION, Job.OUTGOING, True, DomainState.SWITCHOVER),  # *
    (PAUSED, MIGRATION, Job.OUTGOING, False, DomainState.SWITCHOVER),  # a transient domain
    (PAUSED, MIGRATION, Job.NONE, True, DomainState.SWITCHOVER),  # a dead migration left it
    (PAUSED, MIGRATION, Job.NONE, False, DomainState.INCOMING),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY, Job.OUTGOING, True, DomainState.POSTCOPY_SOURCE),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED, Job.NONE, True, DomainState.POSTCOPY_BROKEN),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, Job.NONE, True, DomainState.PAUSED),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, Job.OUTGOING, True, DomainState.PAUSED),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, Job.INCOMING, True, DomainState.INCOMING),
    (PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, Job.NONE, True, DomainState.PAUSED),
    (SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, Job.NONE, True, DomainState.SHUTOFF),  # *
    (SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, Job.NONE, True, DomainState.SHUTOFF),
    (SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, Job.NONE, False, DomainState.ABSENT),  # * going
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED, Job.NONE, True, DomainState.CRASHED),
    (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_USER, Job.NONE, True, DomainState.PAUSED),
    (libvirt.VIR_DOMAIN_PMSUSPENDED, 0, Job.NONE, True, DomainState.PAUSED),
    (libvirt.VIR_DOMAIN_NOSTATE, 0, Job.NONE, True, DomainState.PAUSED),
]


@pytest.mark.parametrize(("state", "reason", "job", "persistent", "expected"), TABLE)
def test_the_state_of_a_domain(
    state: int, reason: int, job: Job, persistent: bool, expected: DomainState
) -> None:
    assert domain_state(state, reason, job, persistent=persistent) is expected


def test_every_state_of_kedges_is_reached() -> None:
    assert {row[-1] for row in TABLE} == set(DomainState)


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        ({"type": libvirt.VIR_DOMAIN_JOB_NONE}, Job.NONE),
        ({}, Job.NONE),
        ({"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": 5}, Job.OUTGOING),
        ({"type": libvirt.VIR_DOMAIN_JOB_CANCELLED, "operation": 5}, Job.OUTGOING),
        ({"type": libvirt.VIR_DOMAIN_JOB_COMPLETED, "operation": 4}, Job.INCOMING),
        (
            {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_DUMP},
            Job.OTHER,
        ),
        ({"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED}, Job.OTHER),
    ],
)
def test_the_kind_of_a_job(statistics: dict[str, int], expected: Job) -> None:
    assert job_of(statistics) is expected
    assert expected.migrates == (expected in (Job.INCOMING, Job.OUTGOING))


def test_progress_is_taken_from_the_statistics() -> None:
    # What libvirt 9.0 said of a real transfer.
    progress = progress_of(
        {
            "operation": 5, "time_elapsed": 4949, "downtime": 15, "memory_total": 67502080,
            "memory_processed": 594764, "memory_remaining": 4096, "memory_bps": 3277634, "memory_dirty_rate": 7,
            "memory_iteration": 3, "memory_page_size": 4096, "type": 2,
        }
    )  # fmt: skip
    assert (progress.elapsed_ms, progress.downtime_ms, progress.memory_total) == (4949, 15, 67502080)
    assert (progress.memory_processed, progress.memory_remaining) == (594764, 4096)
    assert (progress.memory_bps, progress.dirty_pages_per_second, progress.iteration) == (3277634, 7, 3)
    assert progress_of({}).downtime_ms is None
