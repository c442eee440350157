"""Migrations that take long enough for something to happen meanwhile."""

from typing import Any

from kedge.lab.cloud import Cloud


def start_slowly(cloud: Cloud, server: str, host: str) -> dict[str, Any]:
    """A migration that takes long enough to be disturbed."""
    body = {"host": host, "options": {"bandwidth_mib": 4}}
    migration: dict[str, Any] = cloud.post(f"/kedge/v1/servers/{server}/migrate", body)
    path = f"/kedge/v1/migrations/{migration['id']}"
    cloud.wait_for(lambda: (cloud.get(path)["progress"] or {}).get("memory_processed", 0) > 0, "the transfer")
    return migration


def end_of(cloud: Cloud, migration: dict[str, Any]) -> dict[str, Any]:
    path = f"/kedge/v1/migrations/{migration['id']}"
    cloud.wait_for(lambda: cloud.get(path)["finished_at"] is not None, "the end of the migration", 60)
    ended: dict[str, Any] = cloud.get(path)
    return ended
