"""Asks VMs around the pause of their migration, so that also one that says nothing is heard until it, and from then on.

On the source from when the copying of memory is about to end until the VM pauses; on the destination one question waits
in the device of the VM that is still to run, and more follow, if it is not heard for a while, until it is.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial

import libvirt
import structlog

from kedge.agent.domains.libvirt_events import ARRIVED, PAUSED_TO_SWITCH, Events
from kedge.agent.frames.device_watch import Heard
from kedge.agent.frames.migration_watches import FrameWatches
from kedge.agent.frames.questions import questions
from kedge.agent.frames.to_vm import ToVm
from kedge.agent.vif import Pluggers
from kedge.model.errors import KedgeError
from kedge.model.network import Vif

log = structlog.get_logger(__name__)

_INTERVAL_S = 1 / 200
_OFTEN = 2000
"""Rounds of questions at this interval before the pause, 10 s; if copying goes on for longer, they become rare."""
_SELDOM_S = 0.1
_WAITS_S = 0.05
"""The question that waits is enough unless it was lost, and a VM that begins to run has others to answer."""
_AFTER = 1000
"""Rounds of questions after that, 5 s: who has not answered by then gives no answers."""
_LOOK_S = 0.05
_BUSY_NS = 20_000_000
"""A VM that was heard so lately is not asked: its own frames tell as much."""


class _Moment(Enum):
    BEFORE = "before"
    COMING = "coming"  # its QEMU is here, and it still runs on the source
    HERE = "here"
    OVER = "over"


class AskedPort:
    """A port, and how its VM is reached; a device that is not there is looked for at each question."""

    def __init__(self, vif: Vif, find: Callable[[], str | None], heard: Callable[[], Heard | None]) -> None:
        self._find = find
        self._questions = questions(vif.mac_address, vif.fixed_ips)
        self._to_vm: ToVm | None = None
        self.heard = heard

    def ask(self) -> None:
        """Ask for each of its addresses."""
        try:
            if self._to_vm is None:
                device = self._find()
                self._to_vm = ToVm(device) if device else None
            if self._to_vm is not None:
                self._to_vm.send(self._questions)
        except KedgeError as error:
            log.debug("a VM could not be asked", error=str(error))
            self.close()

    def close(self) -> None:
        """Let go of its device."""
        if self._to_vm is not None:
            self._to_vm.close()
            self._to_vm = None


class Asker:
    """Asks the VM of one server during one migration, in a thread of its own that ends by itself."""

    def __init__(
        self, migration_id: str | None, ports: Sequence[AskedPort], ends_soon: Callable[[], bool]
    ) -> None:
        self.migration_id = migration_id
        self._ports = ports
        self._ends_soon = ends_soon
        self._moment = _Moment.BEFORE
        self._one_waits = False
        self._becoming = threading.Lock()
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()

    def happened(self, event: int, detail: int) -> None:
        """A lifecycle event of the server's domain, as libvirt tells it; returns at once."""
        if event == libvirt.VIR_DOMAIN_EVENT_STARTED and detail == libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED:
            self._become(_Moment.COMING)
        elif event == libvirt.VIR_DOMAIN_EVENT_RESUMED and detail in ARRIVED:
            self._become(_Moment.HERE)
        elif event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED and detail in PAUSED_TO_SWITCH:
            self.stop()

    def stop(self) -> None:
        """Ask nothing more."""
        self._become(_Moment.OVER)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _become(self, moment: _Moment) -> None:
        with self._becoming:
            if self._moment in (moment, _Moment.OVER):
                return
            self._moment = moment
        self._news.set()

    def _run(self) -> None:
        try:
            if self._until_here() and self._moment is _Moment.HERE:
                self._until_heard()
        except Exception:  # nobody would see it
            log.exception("a VM is not asked any more")
        finally:
            for port in self._ports:
                port.close()

    def _until_here(self) -> bool:
        """Ask before the pause; whether the VM came here."""
        rounds = 0
        while self._moment in (_Moment.BEFORE, _Moment.COMING):
            heard = [port.heard() for port in self._ports]
            if None in heard:
                return False  # the migration is forgotten
            if self._moment is _Moment.COMING and not self._one_waits:
                # QEMU takes it from the device when the VM runs. One: others would keep the room from what comes.
                self._ask(self._ports)
                self._one_waits = True
            if self._moment is _Moment.BEFORE and self._ends_soon():
                self._ask([port for port, each in zip(self._ports, heard, strict=True) if not _is_busy(each)])
                rounds += 1
                self._wait(_INTERVAL_S if rounds < _OFTEN else _SELDOM_S)
            else:
                self._wait(_LOOK_S)
        return True

    def _until_heard(self) -> None:
        if self._one_waits:
            self._wait(_WAITS_S)
        for _ in range(_AFTER):
            silent = [port for port in self._ports if not _was_heard(port.heard())]
            if not silent or self._moment is not _Moment.HERE:
                return
            self._ask(silent)
            self._wait(_INTERVAL_S)

    def _ask(self, ports: Sequence[AskedPort]) -> None:
        for port in ports:
            port.ask()

    def _wait(self, seconds: float) -> None:
        """Until time is up, or the moment becomes another one from now on."""
        self._news.clear()
        self._news.wait(seconds)


def _was_heard(heard: Heard | None) -> bool:
    """Whether the VM has sent a frame of its own here, or answered a question."""
    return heard is not None and heard.answers.frames + heard.frames.frames > 0


def _is_busy(heard: Heard | None) -> bool:
    """Whether the VM has just sent a frame of its own."""
    last_ns = heard.frames.last_ns if heard is not None else None
    return last_ns is not None and time.time_ns() - last_ns < _BUSY_NS


class Askers:
    """One `Asker` per server, begun anew for each migration. VMs without known addresses are only watched."""

    def __init__(
        self, vifs: Pluggers, watches: FrameWatches, ends_soon: Callable[[str], bool], events: Events
    ) -> None:
        """`ends_soon` says of a server whether the copying of its memory from here is about to end."""
        self._vifs = vifs
        self.watches = watches
        self._ends_soon = ends_soon
        self._lock = threading.Lock()
        self._askers: dict[str, Asker] = {}
        events.listen(self._lifecycle)

    def ensure(
        self, uuid: str, vifs: Sequence[Vif], migration_id: str | None, targets: Mapping[str, str]
    ) -> None:
        """Watch these as `FrameWatches` does, and ask the VM of the server on those of them that have addresses."""
        self.watches.ensure(vifs, migration_id, targets)
        ports = [self._port(vif, migration_id, targets) for vif in vifs if vif.fixed_ips]
        with self._lock:
            before = self._askers.get(uuid)
            if before is not None and before.migration_id == migration_id:
                return
            self._askers = {key: asker for key, asker in self._askers.items() if not asker.is_over}
            if before is not None:
                before.stop()
            if ports:
                self._askers[uuid] = Asker(migration_id, ports, partial(self._ends_soon, uuid))

    def all(self) -> list[Asker]:
        """One for each server, of its last migration."""
        with self._lock:
            return list(self._askers.values())

    def close(self) -> None:
        """Ask nothing more."""
        for asker in self.all():
            asker.stop()
            asker.join()

    def _port(self, vif: Vif, migration_id: str | None, targets: Mapping[str, str]) -> AskedPort:
        target = targets.get(vif.mac_address)
        return AskedPort(
            vif, lambda: self._vifs.device(vif, target), lambda: self.watches.heard(vif, migration_id)
        )

    def _lifecycle(self, uuid: str, event: int, detail: int) -> None:
        asker = self._askers.get(uuid)
        if asker is not None:
            asker.happened(event, detail)
