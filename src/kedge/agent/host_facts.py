"""What this host is asked for when a migration is planned; nothing of it is looked at before somebody asks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from kedge.agent.connection import Connection
from kedge.agent.host_files import HostFiles, text_of
from kedge.agent.hypervisor import Hypervisor
from kedge.model.domain import DomainSummary
from kedge.model.host_facts import FactsRequest, HostFacts

T = TypeVar("T")


class FactsOfHost:
    """Looks at the host. Raises HostFailure while libvirtd does not answer."""

    def __init__(self, connection: Connection, hypervisor: Hypervisor) -> None:
        self._connection = connection
        self._hypervisor = hypervisor
        self._files = HostFiles()

    def look(self, request: FactsRequest) -> HostFacts:
        """The host as it is now. What its libvirt can't tell (the test driver knows little) stays empty."""
        files = self._files.look(request.paths)
        with self._connection.speaking("tell what the host has") as connection:
            return HostFacts(
                machine=text_of(Path("/proc/sys/kernel/random/boot_id")),
                files=files,
                pools=_or((), lambda: _active_pools(connection)),
                namesake=self._namesake(request.name, connection),
                libvirt_version=_or(0, connection.getLibVersion),
                qemu_version=_or(0, connection.getVersion),
                memory_total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
                memory_available=_memory_available(),
                troubles=tuple(
                    f"{path} could not be looked at; its storage does not answer"
                    for path in request.paths
                    if path not in files
                ),
            )

    def _namesake(self, name: str, connection: Any) -> DomainSummary | None:
        if not name:
            return None
        try:
            uuid = connection.lookupByName(name).UUIDString()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        look = self._hypervisor.look(uuid)
        return DomainSummary(uuid, name, look.state, look.persistent)


def _active_pools(connection: Any) -> tuple[str, ...]:
    pools = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    return tuple(sorted(pool.name() for pool in pools))


def _memory_available() -> int:
    for line in text_of(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _or(otherwise: T, ask: Callable[[], T]) -> T:
    """What libvirt answers, or `otherwise` where its driver has no such thing."""
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return otherwise
        raise
