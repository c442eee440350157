"""From libvirt's state, reason and job to what Kedge decides by: pure, no call to libvirt.

A domain that is PAUSED with reason MIGRATION looks the same on both sides of a migration. What tells them
apart is the job: an incoming one (libvirt answers "migration statistics are available only on the source
host" until it is done) or an outgoing one. Where no job is left, a domain that is defined here is the source,
because the destination's becomes persistent only together with its start.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import libvirt

from kedge.model.domain import DomainState, JobProgress


class Job(StrEnum):
    """The kinds of libvirt job that matter to a migration."""

    NONE = "none"
    INCOMING = "incoming"
    OUTGOING = "outgoing"
    OTHER = "other"  # a dump, a snapshot, a start …

    @property
    def migrates(self) -> bool:
        """Whether the job is a migration, in either direction."""
        return self in (Job.INCOMING, Job.OUTGOING)


_POSTCOPY_RUNNING = (libvirt.VIR_DOMAIN_RUNNING_POSTCOPY, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED)


def job_of(statistics: Mapping[str, Any]) -> Job:
    """The running job, from virDomainGetJobStats."""
    if statistics.get("type", libvirt.VIR_DOMAIN_JOB_NONE) == libvirt.VIR_DOMAIN_JOB_NONE:
        return Job.NONE
    operation = statistics.get(libvirt.VIR_DOMAIN_JOB_OPERATION)
    if operation == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT:
        return Job.OUTGOING
    if operation == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN:
        return Job.INCOMING
    return Job.OTHER


def domain_state(state: int, reason: int, job: Job, *, persistent: bool) -> DomainState:
    """The state of a domain that libvirt knows (virDomainState and its reason, looked at together with `job`)."""
    if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        postcopy = state == libvirt.VIR_DOMAIN_RUNNING and reason in _POSTCOPY_RUNNING
        return DomainState.POSTCOPY_DESTINATION if postcopy else DomainState.RUNNING
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return _paused(reason, job, persistent=persistent)
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        # A transient domain is SHUTOFF only in the instant in which it appears or vanishes.
        return DomainState.SHUTOFF if persistent else DomainState.ABSENT
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return DomainState.CRASHED
    # NOSTATE, SHUTDOWN and PMSUSPENDED: a QEMU is there that holds its devices, and no guest code runs.
    return DomainState.PAUSED


def _paused(reason: int, job: Job, *, persistent: bool) -> DomainState:
    if reason == libvirt.VIR_DOMAIN_PAUSED_POSTCOPY:
        return DomainState.POSTCOPY_SOURCE
    if reason == libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED:
        return DomainState.POSTCOPY_BROKEN
    if job is Job.INCOMING:
        return DomainState.INCOMING
    if reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION:
        source = job is Job.OUTGOING or persistent
        return DomainState.SWITCHOVER if source else DomainState.INCOMING
    return DomainState.PAUSED


def progress_of(statistics: Mapping[str, Any]) -> JobProgress:
    """Job statistics in Kedge's words; what libvirt leaves out is 0, and the downtime None."""
    return JobProgress(
        elapsed_ms=statistics.get(libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED, 0),
        memory_total=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL, 0),
        memory_processed=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_PROCESSED, 0),
        memory_remaining=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING, 0),
        memory_bps=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_BPS, 0),
        dirty_pages_per_second=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE, 0),
        page_size=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE, 4096),
        iteration=statistics.get(libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION, 0),
        downtime_ms=statistics.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME),
    )
