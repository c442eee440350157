"""What this host is asked for when a migration is planned; nothing of it is looked at before somebody asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.host.dirty_rates import dirty_rates
from kedge.agent.host.files import HostFiles, text_of
from kedge.agent.host.hypervisor_facts import HypervisorLooks
from kedge.agent.host.memory import memory, numa_nodes, resident
from kedge.model.domain import DomainState, DomainSummary
from kedge.model.host_facts import DomainFacts, FactsRequest, FileFacts, HostFacts, Volume

T = TypeVar("T")


class FactsOfHost:
    """Looks at the host. Raises HostFailure while libvirtd does not answer."""

    def __init__(self, connection: Connection, hypervisor: Hypervisor) -> None:
        self._connection = connection
        self._hypervisor = hypervisor
        self._files = HostFiles()
        self._looks = HypervisorLooks()

    def look(self, request: FactsRequest) -> HostFacts:
        """The host as it is now. What its libvirt can't tell (the test driver knows little) stays empty."""
        with self._connection.speaking("tell what the host has") as connection:
            behind = {volume.key: _path(connection, volume) for volume in request.volumes}
            paths = [*request.paths, *(path for path in behind.values() if path)]
            files = self._files.look(paths)
            volumes = {key: files[path] for key, path in behind.items() if path in files}
            volumes |= {key: FileFacts() for key, path in behind.items() if path is None}
            return HostFacts(
                machine=text_of(Path("/proc/sys/kernel/random/boot_id")),
                files={path: files[path] for path in request.paths if path in files} | volumes,
                pools=known((), lambda: _active_pools(connection)),
                namesake=self._namesake(request.name, connection),
                memory=memory(self._promised(connection), known(0, lambda: int(connection.getInfo()[2]))),
                numa=numa_nodes(),
                hypervisor=self._looks.look(connection, request),
                domain=self._domain(request),
                dirty_mib=dirty_rates(connection, self._hypervisor, request.measure, request.measure_s),
                troubles=tuple(
                    f"{path} could not be looked at: its storage does not answer, or does not let root in"
                    for path in paths
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

    def _promised(self, connection: Any) -> int:
        """The memory in bytes that arriving VMs have not filled yet.

        libvirt would ask QEMU for its statistics only once the migration has ended, so the kernel is asked.
        """
        paused = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)
        return sum(
            max(known(0, domain.maxMemory) * 1024 - resident(domain.name()), 0)
            for domain in paused
            if self._hypervisor.look(domain.UUIDString()).state is DomainState.INCOMING
        )

    def _domain(self, request: FactsRequest) -> DomainFacts:
        domain = self._hypervisor.domain(request.server_id) if request.server_id else None
        if domain is None:
            return DomainFacts()
        return DomainFacts(
            snapshots=known(0, domain.snapshotNum),
            block_jobs=tuple(
                disk
                for disk in request.disks
                if known({}, lambda disk=disk: domain.blockJobInfo(disk))  # type: ignore[misc]
            ),
        )


def _path(connection: Any, volume: Volume) -> str | None:
    """Where the volume is; None if it is not there, and "" if its pool tells nothing (another kind says why)."""
    try:
        pool = connection.storagePoolLookupByName(volume.pool)
        path: str = pool.storageVolLookupByName(volume.name).path() if pool.isActive() else ""
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_NO_STORAGE_VOL:
            return None
        if code in (libvirt.VIR_ERR_NO_STORAGE_POOL, *_UNKNOWN):
            return ""
        raise
    return path if path.startswith("/") else ""  # one of Ceph's, say, has no path on the host


def _active_pools(connection: Any) -> tuple[str, ...]:
    pools = connection.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    return tuple(sorted(pool.name() for pool in pools))


_UNKNOWN = (
    libvirt.VIR_ERR_NO_SUPPORT,  # its driver has no such thing
    libvirt.VIR_ERR_NO_DOMAIN,  # it went just now
    libvirt.VIR_ERR_OPERATION_INVALID,  # it does not run any more
    libvirt.VIR_ERR_OPERATION_TIMEOUT,  # a job on the domain lets nobody ask now
    libvirt.VIR_ERR_INVALID_ARG,  # the domain has no such disk any more
)


def known(otherwise: T, ask: Callable[[], T]) -> T:
    """What libvirt answers, or `otherwise` where it can't tell."""
    try:
        return ask()
    except libvirt.libvirtError as error:
        if error.get_error_code() in _UNKNOWN:
            return otherwise
        raise
