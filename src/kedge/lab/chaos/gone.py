"""Hosts that are lost for good in the middle of a migration: an operator says so, and everything else goes on."""

import time
from collections.abc import Callable
from typing import Any

from kedge.model.errors import HostFailure

from .cloud import ChaosCloud
from .invariants import Guest, shortcomings
from .trial import PATIENCE_S, SLOW_MIB, wait_for_end, wait_for_step

Say = Callable[[str], None]


def lose_hosts(cloud: ChaosCloud, guest: Guest, say: Say) -> list[str]:
    """The destination first, which costs nothing, then the source, which costs the VM; what is not as it must be.

    Two of the lab's hosts are gone after it, and the guest is deleted.
    """
    source: str = cloud.get(f"/kedge/v1/servers/{guest.id}")["host"]
    wrong = []
    ended, took = _lose(cloud, guest, source, "destination", say)
    say(f"the destination is lost for good: {ended['status']}, {took:.1f} s after an operator said so")
    if ended["status"] != "failed":
        wrong.append(f"the migration to a host that is gone: {ended['status']}")
    wrong += shortcomings(cloud, guest)

    ended, took = _lose(cloud, guest, source, "source", say)
    say(
        f"the source is lost for good: {ended['status']} ({ended['error']}), {took:.1f} s after an operator said so"
    )
    server = cloud.get(f"/kedge/v1/servers/{guest.id}")
    if (server["host"], server["status"]) != (source, "ERROR"):
        wrong.append(f"the lost server is {server['status']} on {server['host']}")
    cloud.delete(f"/kedge/v1/servers/{guest.id}")
    for name, node in cloud.lab.hosts.items():
        wrong += [f"{name} still has {device}" for device in (*node.devices(), *node.ovs_ports())]
        if guest.id in node.virsh("list", "--all", "--uuid").stdout:
            wrong.append(f"{name} still has the domain")
    if cloud.database.rows("SELECT 1 FROM ports WHERE device_id = %s", guest.id):
        wrong.append("ports of the deleted server are left")
    return wrong


def _lose(cloud: ChaosCloud, guest: Guest, source: str, which: str, say: Say) -> tuple[dict[str, Any], float]:
    """Power one host off while memory is copied, have an operator say so; how the migration ended, after how long."""
    destination = next(name for name in cloud.lab.hosts if name != source)
    body = {"host": destination, "options": {"bandwidth_mib": SLOW_MIB}}
    migration = cloud.post(f"/kedge/v1/servers/{guest.id}/migrate", body)
    wait_for_step(cloud, migration["id"], "copying")
    gone = migration[which]
    cloud.power_off(gone)
    say(f"{gone} is off; {guest.name} was on its way from {source} to {destination}")
    cloud.put(f"/kedge/v1/hosts/{gone}/forced-down", {"forced_down": True})
    began = time.monotonic()
    ended = wait_for_end(cloud, migration["id"], began + PATIENCE_S)
    if ended is None:
        raise HostFailure(
            f"the migration did not end within {PATIENCE_S:g} s after {gone} was said to be off"
        )
    return ended, time.monotonic() - began
