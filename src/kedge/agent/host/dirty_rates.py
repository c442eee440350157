"""How fast guests write to their memory, as QEMU measures it (virDomainStartDirtyRateCalc)."""

import time
from collections.abc import Sequence
from typing import Any

import libvirt

from kedge.agent.domains.hypervisor import Hypervisor

_POLL_S = 0.1
_SLACK_S = 5.0
"""QEMU hashes what it samples before and after the time, and libvirt waits for its turn on the domain."""

_STATUS, _RATE = "dirtyrate.calc_status", "dirtyrate.megabytes_per_second"


def dirty_rates(
    connection: Any, hypervisor: Hypervisor, uuids: Sequence[str], seconds: int
) -> dict[str, float]:
    """In MiB/s, of those of the domains that run and could be measured, all at once for so many seconds.

    QEMU compares samples of pages (`page-sampling`, the mode that every accelerator has), so a page that is written
    more than once in the time counts once. Raises libvirtError.
    """
    domains = (hypervisor.domain(uuid) for uuid in uuids)
    waiting = [each for each in domains if each is not None and _begin(connection, each, seconds)]
    found: dict[str, float] = {}
    give_up = time.monotonic() + seconds + _SLACK_S
    while waiting and time.monotonic() < give_up:
        time.sleep(_POLL_S)
        for domain, stats in _stats(connection, waiting):
            if stats.get(_STATUS) == libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED and _RATE in stats:
                found[domain.UUIDString()] = float(stats[_RATE])
        waiting = [each for each in waiting if each.UUIDString() not in found]
    return found


def _begin(connection: Any, domain: Any, seconds: int) -> bool:
    """Whether it is being measured now; one that does not run, or whose QEMU is older than 5.2, can't be."""
    try:
        domain.startDirtyRateCalc(seconds)
    except libvirt.libvirtError:
        # Somebody who asked a moment ago may have begun it.
        states = [stats.get(_STATUS) for _, stats in _stats(connection, [domain])]
        return states == [libvirt.VIR_DOMAIN_DIRTYRATE_MEASURING]
    return True


def _stats(connection: Any, domains: Sequence[Any]) -> list[tuple[Any, dict[str, Any]]]:
    try:
        return list(connection.domainListGetStats(domains, libvirt.VIR_DOMAIN_STATS_DIRTYRATE))
    except libvirt.libvirtError as error:
        if error.get_error_code() in {libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_DOMAIN}:
            return []
        raise
