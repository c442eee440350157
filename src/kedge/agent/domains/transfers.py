"""The transfers (live migrations) that start on this host.

The truth about a transfer is libvirt's job on the domain. What is remembered on top is which migration asked
for it, and how libvirt said it ended; on disk only the former, so that after a restart a running one is known
again, and an old order is not carried out a second time.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import libvirt
import structlog

from kedge.agent.domains.domain_state import Job, job_of, progress_of
from kedge.agent.domains.hypervisor import Hypervisor, Look
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.domains.transfer_flags import flags, mib_or_unlimited, parameters
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.on_disk.json_file import read_object, write_atomically
from kedge.core.migration.pace import ends_within
from kedge.core.migration_uris import check_libvirt_uri, check_migrate_uri
from kedge.model.domain import DomainState, JobProgress, TransferOrder, TransferState
from kedge.model.errors import Conflict, HostFailure, KedgeError, NotFound
from kedge.wire.messages import TransferTuning

log = structlog.get_logger(__name__)

# How often a running transfer's progress is read.
_PROGRESS_S = 0.2
_SOON_MS = 3000
# A transfer that was ordered an instant ago has no job yet; an abort waits so long for it to appear.
_JOB_APPEARS_S = 3.0
_REMEMBERED = 1000
_LOST_TRACK = "libvirtd or the agent was restarted while the transfer ran, and the VM still runs here"


@dataclass(frozen=True)
class Transfer:
    """What is remembered of a transfer. `state` NONE is one that was aborted before it began."""

    server_id: str
    epoch: int
    state: TransferState
    error: str | None = None


class Transfers:
    """Transfers by migration id. `changed` is called with the server's id when one ends."""

    def __init__(
        self,
        connection: Connection,
        hypervisor: Hypervisor,
        epochs: Epochs,
        path: Path,
        changed: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._hypervisor = hypervisor
        self._epochs = epochs
        self._path = path
        self._changed = changed
        self._lock = threading.Lock()
        self._known: dict[str, Transfer] = {}
        # Domains whose migration this process waits for in libvirt, by UUID, and their progress so far.
        self._under_way: dict[str, Any] = {}
        self._progress: dict[str, JobProgress] = {}
        # Those whose memory is being copied, and whether that ends soon.
        self._copied: dict[str, bool] = {}
        # Those whose end this process did not, or may not, get told: it is found out by looking.
        self._inherited: dict[str, Transfer] = {}
        for migration_id, stored in read_object(path).items():
            self._inherited[migration_id] = Transfer(
                stored["server_id"], stored["epoch"], TransferState(stored["state"]), stored["error"]
            )

    def look(self, server_id: str) -> Look:
        """As `Hypervisor.look`, but never waits for QEMU while a transfer that this process started runs."""
        with self._lock:
            domain = self._under_way.get(server_id)
        return self._hypervisor.look(server_id) if domain is None else self._hypervisor.glance(domain)

    def under_way(self) -> set[str]:
        """The domains whose transfer this process waits for; to ask for their jobs may take as long as the pause."""
        with self._lock:
            return set(self._under_way)

    def remembers(self, server_id: str) -> bool:
        """Whether this host was ordered to migrate the server away; long ago, it may be forgotten."""
        with self._lock:
            remembered = [*self._known.values(), *self._inherited.values()]
        return any(each.server_id == server_id for each in remembered)

    def progress(self, server_id: str, look: Look) -> JobProgress | None:
        """How far the outgoing transfer is; some tenths of a second old."""
        with self._lock:
            if server_id in self._under_way:
                return self._progress.get(server_id)
        return progress_of(look.statistics) if look.job is Job.OUTGOING else None

    def ends_soon(self, server_id: str) -> bool:
        """Whether a server's memory is being copied from here, and its VM may pause within some seconds."""
        with self._lock:
            return server_id in self._under_way and self._copied.get(server_id, False)

    def round_began(self, server_id: str) -> None:
        """A round of copying a server's memory begins; before the first, its VM does not pause."""
        with self._lock:
            self._copied.setdefault(server_id, True)

    def state(self, migration_id: str, domain: DomainState, job: Job) -> tuple[TransferState, str | None]:
        """State and error of a migration's transfer, given what libvirt shows of its domain now."""
        with self._lock:
            known, inherited = self._known.get(migration_id), self._inherited.get(migration_id)
        if known is not None:
            return known.state, known.error
        if inherited is None:
            return TransferState.NONE, None
        if inherited.state is not TransferState.RUNNING:
            return inherited.state, inherited.error
        if job is Job.OUTGOING:
            return TransferState.RUNNING, None
        if domain in (DomainState.ABSENT, DomainState.SHUTOFF):
            return TransferState.SUCCEEDED, None
        return TransferState.FAILED, _LOST_TRACK

    def start(self, order: TransferOrder) -> None:
        """Start a transfer, or go on with a broken one; one that was started by this order already is left alone.

        Raises StaleEpoch, NotFound, Conflict (the domain does not run here, or has another job), or BadRequest for URIs
        that lead elsewhere than to another host.
        """
        check_libvirt_uri(order.libvirt_uri)
        check_migrate_uri(order.migrate_uri)
        with self._hypervisor.locked(order.server_id):
            self._epochs.admit(f"migration {order.migration_id}", order.epoch)
            look = self._hypervisor.look(order.server_id)
            if order.recover:
                if look.state is DomainState.POSTCOPY_BROKEN and not self._is_known(order.server_id):
                    self._start(order)
                return
            if self._is_settled(order, look.state, look.job):
                return
            if look.state is DomainState.ABSENT:
                raise NotFound(f"there is no domain {order.server_id} on this host to migrate")
            if look.state is not DomainState.RUNNING or look.job.migrates:
                raise Conflict(
                    f"domain {order.server_id} is {look.state} (job: {look.job}); "
                    "only a running one without another migration can be migrated"
                )
            self._start(order)

    def _start(self, order: TransferOrder) -> None:
        self._remember(order.migration_id, Transfer(order.server_id, order.epoch, TransferState.RUNNING))
        name = f"transfer-{order.migration_id}"
        threading.Thread(target=self._run, args=(order,), name=name, daemon=True).start()

    def _is_settled(self, order: TransferOrder, domain: DomainState, job: Job) -> bool:
        """Whether this order, or a newer form of it, was carried out; only a failed one is tried again."""
        with self._lock:
            before = self._known.get(order.migration_id) or self._inherited.get(order.migration_id)
        if before is None:
            return False
        if before.state is TransferState.NONE and before.epoch >= order.epoch:
            raise Conflict(f"migration {order.migration_id} was aborted before its transfer began")
        state, _ = self.state(order.migration_id, domain, job)
        return state in (TransferState.RUNNING, TransferState.SUCCEEDED) or before.epoch >= order.epoch

    def tune(self, migration_id: str, tuning: TransferTuning) -> None:
        """Change a running transfer's limits, or make it a post-copy one. Raises NotFound, StaleEpoch."""
        self._epochs.admit(f"migration {migration_id}", tuning.epoch)
        with self._lock:
            transfer = self._known.get(migration_id) or self._inherited.get(migration_id)
        if transfer is None:
            raise NotFound(f"migration {migration_id} has no transfer on this host")
        with self._connection.speaking(f"tune the transfer of {transfer.server_id}"):
            domain = self._hypervisor.domain(transfer.server_id)
            if domain is None:
                return  # it has arrived, so there is nothing left to tune
            if tuning.downtime_limit_ms is not None:
                domain.migrateSetMaxDowntime(tuning.downtime_limit_ms)
            if tuning.bandwidth_mib is not None:
                domain.migrateSetMaxSpeed(mib_or_unlimited(tuning.bandwidth_mib))
            if tuning.postcopy and self._hypervisor.glance(domain).state is DomainState.RUNNING:
                domain.migrateStartPostCopy()

    def abort(self, migration_id: str, epoch: int, server_id: str | None = None) -> None:
        """Abort a transfer; one that is over, or never was, is fine. A start that comes later is refused.

        With `server_id`, that domain's outgoing migration is aborted also if this agent has forgotten whose it is.
        Raises StaleEpoch, Conflict after the switch to post-copy.
        """
        self._epochs.admit(f"migration {migration_id}", epoch)
        with self._lock:
            transfer = self._known.get(migration_id) or self._inherited.get(migration_id)
        if transfer is None or transfer.state is TransferState.NONE:
            self._remember(migration_id, Transfer("", epoch, TransferState.NONE))
            if server_id and not self._is_known(server_id):
                self._end_job(server_id, self._hypervisor.look(server_id))
            return
        deadline = time.monotonic() + _JOB_APPEARS_S
        while not self._abort_job(migration_id, transfer.server_id):
            if time.monotonic() > deadline:
                raise HostFailure(
                    f"the transfer of {transfer.server_id} runs, but has no job to abort; try again"
                )
            time.sleep(0.02)

    def _abort_job(self, migration_id: str, server_id: str) -> bool:
        """Abort the outgoing job, if there is one; whether there is nothing more to abort."""
        look = self._hypervisor.look(server_id)
        state, _ = self.state(migration_id, look.state, look.job)
        if state is not TransferState.RUNNING:
            return True
        return self._end_job(server_id, look)

    def _is_known(self, server_id: str) -> bool:
        """Whether a migration that is remembered may have a transfer of this server under way."""
        with self._lock:
            remembered = [*self._known.values(), *self._inherited.values()]
        return any(each.server_id == server_id and each.state is TransferState.RUNNING for each in remembered)

    def _end_job(self, server_id: str, look: Look) -> bool:
        """Abort the domain's outgoing job; whether there was one."""
        if look.job is not Job.OUTGOING:
            return False
        if look.state in (DomainState.POSTCOPY_SOURCE, DomainState.POSTCOPY_BROKEN):
            raise Conflict(
                f"domain {server_id} already runs on the other host (post-copy); it can't be aborted"
            )
        domain = self._hypervisor.domain(server_id)
        try:
            if domain is not None:
                domain.abortJob()
        except libvirt.libvirtError as error:
            if self._hypervisor.look(server_id).job is Job.OUTGOING:
                raise HostFailure(f"libvirt could not abort the transfer of {server_id}: {error}") from error
        return True

    def _run(self, order: TransferOrder) -> None:
        over = threading.Event()
        threading.Thread(target=self._read_progress, args=(order.server_id, over), daemon=True).start()
        log.info(
            "transfer starts", migration=order.migration_id, server=order.server_id, to=order.libvirt_uri
        )
        state, problem = TransferState.SUCCEEDED, None
        connection = self._connection.current
        try:
            self._migrate(order)
        except KedgeError as error:
            # Without its caller's connection the migration may go on in libvirtd; only a look tells.
            lost = connection is None or self._connection.current is not connection
            state, problem = (TransferState.RUNNING if lost else TransferState.FAILED), str(error)
        except Exception as error:  # whatever it is, the conductor has to learn that the transfer is over
            log.exception("transfer broke", migration=order.migration_id)
            state, problem = TransferState.FAILED, f"{type(error).__name__}: {error}"
        log.info("transfer ended", migration=order.migration_id, state=state.value, error=problem)
        over.set()
        with self._lock:
            self._under_way.pop(order.server_id, None)
            self._progress.pop(order.server_id, None)
            self._copied.pop(order.server_id, None)
            if state is TransferState.RUNNING:
                self._inherited[order.migration_id] = self._known.pop(order.migration_id)
        if state is not TransferState.RUNNING:
            self._ended(order.migration_id, Transfer(order.server_id, order.epoch, state, problem))
        self._changed(order.server_id)

    def _read_progress(self, server_id: str, over: threading.Event) -> None:
        while not over.wait(_PROGRESS_S):
            try:
                statistics = self._statistics(server_id)
            except KedgeError:
                continue  # the thread that migrates says what is wrong
            with self._lock:
                if job_of(statistics) is Job.OUTGOING and server_id in self._under_way:
                    now = progress_of(statistics)
                    before = self._progress.get(server_id, JobProgress(memory_remaining=now.memory_total))
                    self._progress[server_id] = now
                    if now.memory_total:
                        self._copied[server_id] = ends_within(before, now, _SOON_MS)

    def _statistics(self, server_id: str) -> Mapping[str, Any]:
        with self._lock:
            domain = self._under_way.get(server_id)
        if domain is None:
            return {}
        with self._connection.speaking(f"look at the job of domain {server_id}"):
            return cast(Mapping[str, Any], domain.jobStats())

    def _migrate(self, order: TransferOrder) -> None:
        with self._connection.speaking(f"migrate {order.server_id} to {order.libvirt_uri}"):
            domain = self._hypervisor.domain(order.server_id)
            if domain is None:
                raise NotFound(f"domain {order.server_id} is not here any more")
            if not order.recover:
                # libvirt 9 keeps a limit that is set before the job begins, so the first pass already heeds it.
                domain.migrateSetMaxDowntime(order.downtime_limit_ms)
            with self._lock:
                self._under_way[order.server_id] = domain
                self._copied.pop(order.server_id, None)
            domain.migrateToURI3(order.libvirt_uri, parameters(order), flags(order))

    def _remember(self, migration_id: str, transfer: Transfer) -> None:
        """Note what was ordered. Raises HostFailure if it can't be written down; then it is not known either."""
        with self._lock:
            self._store({migration_id: transfer})
            self._note(migration_id, transfer)

    def _ended(self, migration_id: str, transfer: Transfer) -> None:
        """Note how a transfer ended. Where that can't be written down, a restarted agent finds it out by looking."""
        with self._lock:
            self._note(migration_id, transfer)
            try:
                self._store()
            except HostFailure as error:
                log.warning("can't write down how a transfer ended", migration=migration_id, error=str(error))

    def _note(self, migration_id: str, transfer: Transfer) -> None:
        self._known[migration_id] = transfer
        self._inherited.pop(migration_id, None)
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def _store(self, new: Mapping[str, Transfer] = MappingProxyType({})) -> None:
        stored = dict(list({**self._inherited, **self._known, **new}.items())[-_REMEMBERED:])
        write_atomically(self._path, json.dumps({key: asdict(value) for key, value in stored.items()}))
