"""A host's domains: look at them, and change them under their guards."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import libvirt
from lxml import etree

from kedge.agent.domains.domain_state import Job, domain_state, job_of
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.on_disk.half_made import HalfMade
from kedge.model.domain import DomainState, DomainSummary
from kedge.model.errors import BadRequest, Conflict, HostFailure, NotFound
from kedge.wire.messages import DiscardOrder

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
# How often a look is repeated while the state changes under it.
_LOOKS = 5


@dataclass(frozen=True)
class Look:
    """What libvirt says of a domain at one instant."""

    state: DomainState = DomainState.ABSENT
    persistent: bool = False
    job: Job = Job.NONE
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """One life of a domain: libvirt numbers each start of it (-1 while it is shut off)."""

    number: int
    state: DomainState

    @property
    def is_active(self) -> bool:
        """Whether it is not shut off."""
        return self.number >= 0


class Hypervisor:
    """Domains by UUID. Every method raises HostFailure when libvirt refuses or does not answer."""

    def __init__(self, connection: Connection, half_made: HalfMade) -> None:
        self._connection = connection
        self._half_made = half_made
        self._version: tuple[Any, int] = (None, 0)
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()

    @contextmanager
    def locked(self, uuid: str) -> Iterator[None]:
        """Orders about one domain are carried out one after the other."""
        with self._locks_lock:
            lock = self._locks.setdefault(uuid, threading.RLock())
        with lock:
            yield

    def version(self) -> int:
        """libvirtd's version as a number (9_000_000 is 9.0.0), 0 while it does not answer."""
        asked, known = self._version
        if asked is not None and asked is self._connection.current:
            return known  # it can't change while a connection lasts
        try:
            with self._connection.speaking("tell its version") as connection:
                self._version = (connection, int(connection.getLibVersion()))
                return self._version[1]
        except HostFailure:
            return 0

    def summaries(self) -> list[DomainSummary]:
        """Every domain on the host."""
        with self._connection.speaking("list its domains") as connection:
            looks = [(domain, _look(domain)) for domain in connection.listAllDomains()]
            return [
                DomainSummary(domain.UUIDString(), domain.name(), look.state, look.persistent)
                for domain, look in looks
                if look.state is not DomainState.ABSENT
            ]

    def xml(self, uuid: str, *, migratable: bool = False) -> str:
        """A domain's live XML; `migratable` for the text that libvirt would send to a destination."""
        flags = libvirt.VIR_DOMAIN_XML_MIGRATABLE if migratable else 0
        with self._connection.speaking(f"show the XML of domain {uuid}"):
            domain = self.domain(uuid)
            if domain is None:
                raise NotFound(f"there is no domain {uuid} on this host")
            return str(domain.XMLDesc(flags))

    def active_xmls(self) -> dict[str, str]:
        """The live XML of every domain that is not shut off, by UUID."""
        with self._connection.speaking("show its running domains") as connection:
            found: dict[str, str] = {}
            for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                try:
                    found[domain.UUIDString()] = domain.XMLDesc()
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                        raise
            return found

    def every_instance(self, under_way: Collection[str] = ()) -> dict[str, Instance]:
        """Every domain as it is; only one that is paused is asked for its job, and none of `under_way`."""
        with self._connection.speaking("tell the states of its domains") as connection:
            found: dict[str, Instance] = {}
            for domain in connection.listAllDomains():
                state = _state(domain, domain.UUIDString() in under_way)
                if state is not DomainState.ABSENT:
                    found[domain.UUIDString()] = Instance(domain.ID(), state)
            return found

    @property
    def half_made(self) -> frozenset[str]:
        """The domains whose making was begun and not ended."""
        return self._half_made.begun

    def end_made(self) -> None:
        """Take note of half-made domains that run after all, or are gone."""
        for uuid in self._half_made.begun:
            with self.locked(uuid), self._connection.speaking(f"look at domain {uuid}"):
                domain = self.domain(uuid)
                if domain is None or domain.isActive():
                    self._half_made.end(uuid)

    def instances(self, uuids: Iterable[str]) -> dict[str, Instance]:
        """These domains as they are; those that are not here are left out."""
        with self._connection.speaking("look at the domains that were given free"):
            found: dict[str, Instance] = {}
            for uuid in uuids:
                domain = self.domain(uuid)
                look = Look() if domain is None else _look(domain)
                if look.state is not DomainState.ABSENT:
                    found[uuid] = Instance(domain.ID(), look.state)
            return found

    def domain(self, uuid: str) -> Any:
        """The `libvirt.virDomain`, or None; raises libvirtError, so call it inside `speaking`."""
        try:
            return self._connection.get().lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def look(self, uuid: str) -> Look:
        """The domain's state and job as they are now. May wait for QEMU, which answers nothing in the switchover."""
        with self._connection.speaking(f"look at domain {uuid}"):
            domain = self.domain(uuid)
            return Look() if domain is None else _look(domain)

    def glance(self, domain: Any) -> Look:
        """As `look`, for a domain with an outgoing job that is persistent; one quick question, none to QEMU.

        libvirtd knows the state from QEMU's events. Asking for the job would ask QEMU, and be answered when
        the pause that somebody waits for is over.
        """
        with self._connection.speaking(f"look at domain {domain.UUIDString()}"):
            try:
                state, reason = domain.state()
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return Look()
                raise
            return Look(domain_state(state, reason, Job.OUTGOING, persistent=True), True, Job.OUTGOING)

    def completed(self, uuid: str) -> Mapping[str, Any] | None:
        """The statistics of the migration by which this domain came here, or None."""
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        try:
            domain = self.domain(uuid)
            statistics: Mapping[str, Any] = {} if domain is None else domain.jobStats(flags)
        except libvirt.libvirtError:
            return None  # it left, or a new job began; what it would have told is gone
        return statistics if job_of(statistics) is Job.INCOMING else None

    def create(self, uuid: str, xml: str) -> None:
        """Define and start a domain; one that is active already is left alone. Raises BadRequest for odd XML."""
        _check_uuid(uuid, xml)
        with self.locked(uuid), self._connection.speaking(f"start domain {uuid}") as connection:
            domain = self.domain(uuid)
            if domain is not None and domain.isActive():
                return
            was_defined = domain is not None
            if not was_defined:
                self._half_made.begin(uuid)
            domain = connection.defineXML(xml)
            try:
                domain.create()
            except libvirt.libvirtError:
                if not was_defined:
                    _undefine(domain)
                raise
            self._half_made.end(uuid)

    def delete(self, uuid: str) -> None:
        """Destroy and undefine a domain, whatever its state; one that is not there is fine."""
        with self.locked(uuid), self._connection.speaking(f"delete domain {uuid}"):
            self._remove(uuid)

    def discard(self, uuid: str, order: DiscardOrder, instance: Instance | None = None) -> None:
        """Remove what a migration left. Raises Conflict unless the state is one of `order.only_in`.

        With `instance`, also when it is not that instance any more, or one that a job still hands over.
        """
        with self.locked(uuid), self._connection.speaking(f"discard domain {uuid}"):
            domain = self.domain(uuid)
            look = Look() if domain is None else _look(domain)
            if look.state is DomainState.ABSENT:
                return
            if look.state not in order.only_in:
                allowed = ", ".join(order.only_in)
                raise Conflict(
                    f"domain {uuid} is {look.state} on this host; it is discarded only when {allowed}"
                )
            if instance is not None and instance != Instance(domain.ID(), look.state):
                raise Conflict(f"domain {uuid} was started anew on this host since it was given free")
            if look.job is Job.OUTGOING and (instance is not None or look.state is DomainState.RUNNING):
                raise Conflict(f"domain {uuid} is being handed over from this host; it is not discarded")
            # Somebody with virsh may start it in this instant, and it would go on without its definition.
            self._remove(uuid, destroy=look.state is not DomainState.SHUTOFF)

    def resume(self, uuid: str) -> None:
        """Run a VM again that a dead migration left paused; one that runs is fine. Raises Conflict otherwise."""
        with self.locked(uuid), self._connection.speaking(f"resume domain {uuid}"):
            domain = self.domain(uuid)
            look = Look() if domain is None else _look(domain)
            if look.state is DomainState.RUNNING:
                return
            if look.state is not DomainState.SWITCHOVER or look.job is not Job.NONE:
                raise Conflict(
                    f"domain {uuid} is {look.state} on this host (job: {look.job}); only one that is paused "
                    "for a migration which no longer runs can be resumed"
                )
            domain.resume()

    def _remove(self, uuid: str, *, destroy: bool = True) -> None:
        domain = self.domain(uuid)
        if domain is None:
            return
        for act in (*([domain.destroy] if destroy else []), lambda: _undefine(domain)):
            try:
                act()
            except libvirt.libvirtError as error:
                # It was not active, or was transient, or went by itself in between: the end is the same.
                gone = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
                if error.get_error_code() not in gone:
                    raise
        if self.domain(uuid) is not None:
            raise HostFailure(f"domain {uuid} is still there after it was to be removed; try again")


def _undefine(domain: Any) -> None:
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG:
            raise
        # A driver that does not know one of the flags has nothing that it would remove.
        domain.undefine()


def _look(domain: Any) -> Look:
    """State and job of one instant: looked at again until the state is the same before and after the job."""
    look = Look()
    try:
        before = domain.state()
        for _ in range(_LOOKS):
            job, statistics = _job(domain) if before[0] != libvirt.VIR_DOMAIN_SHUTOFF else (Job.NONE, {})
            persistent = bool(domain.isPersistent())
            after = domain.state()
            state = domain_state(after[0], after[1], job, persistent=persistent)
            look = Look(state, persistent, job, statistics)
            if after == before:
                return look
            before = after
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return Look()
        raise
    return look


def _state(domain: Any, under_way: bool) -> DomainState:
    """As `_look`, without asking QEMU where its answer changes nothing."""
    try:
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_PAUSED and not under_way:
            return _look(domain).state
        return domain_state(state, reason, Job.OUTGOING, persistent=bool(domain.isPersistent()))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return DomainState.ABSENT
        raise


def _job(domain: Any) -> tuple[Job, Mapping[str, Any]]:
    try:
        statistics = domain.jobStats()
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return Job.INCOMING, {}  # "migration statistics are available only on the source host"
        if code in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_SUPPORT):
            return Job.NONE, {}  # it stopped just now; or libvirt's test driver, which has no jobs
        raise
    return job_of(statistics), statistics


def _check_uuid(uuid: str, xml: str) -> None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        found = (etree.fromstring(xml.encode(), parser).findtext("uuid") or "").strip()
    except etree.XMLSyntaxError as error:
        raise BadRequest(f"the domain's XML can't be read: {error}") from error
    if found.lower() != uuid.lower():
        raise BadRequest(f"the domain's XML has the UUID {found or '(none)'}, the request is for {uuid}")
