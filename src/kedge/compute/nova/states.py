"""Kedge's statuses of servers and migrations in Nova's words."""

from collections.abc import Mapping
from dataclasses import dataclass

from kedge.model.server import MigrationStatus
from kedge.store.tables import ServerStatus


@dataclass(frozen=True)
class State:
    """What Nova says of a server: its VM, what is being done with it, and libvirt's number for its power."""

    vm: str
    power: int
    task: str | None = None


_NONE, _RUNNING, _PAUSED, _SHUT_DOWN = 0, 1, 3, 4

SERVERS: Mapping[str, State] = {
    ServerStatus.BUILD: State("building", _NONE, "spawning"),
    ServerStatus.ACTIVE: State("active", _RUNNING),
    ServerStatus.PAUSED: State("paused", _PAUSED),
    ServerStatus.MIGRATING: State("active", _RUNNING, "migrating"),
    ServerStatus.SHUTOFF: State("stopped", _SHUT_DOWN),
    ServerStatus.ERROR: State("error", _NONE),
    ServerStatus.UNKNOWN: State("active", _NONE),
}
"""By a server's status, which is one of Nova's already."""

PROGRESSING = {ServerStatus.ACTIVE, ServerStatus.BUILD, ServerStatus.MIGRATING}
"""The statuses in which a server has a `progress`."""

MIGRATIONS: Mapping[str, str] = {
    MigrationStatus.PREPARING: "preparing",
    MigrationStatus.RUNNING: "running",
    MigrationStatus.SWITCHING: "running",
    MigrationStatus.SETTLING: "post-migrating",
    MigrationStatus.ROLLING_BACK: "running",
    MigrationStatus.COMPLETED: "completed",
    MigrationStatus.FAILED: "error",
    MigrationStatus.CANCELLED: "cancelled",
}
"""By a migration's status; Nova has no word for one that rolls back."""

UNDER_WAY = set(MIGRATIONS) - {MigrationStatus.COMPLETED, MigrationStatus.FAILED, MigrationStatus.CANCELLED}
