"""The VIFs of a host, whatever backends they use."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points
from threading import RLock
from types import TracebackType
from typing import NamedTuple, Self

from kedge.model.domain import VifReport, VifState
from kedge.model.errors import HostFailure, KedgeError
from kedge.model.host import HostBackend
from kedge.model.host_network import HostNetwork
from kedge.model.network import Vif

from . import ovs_client
from .base import Loose, Plugger, carrier
from .host_network import host_network
from .link import Link
from .links import Links
from .linuxbridge import BridgePlugger, bridges_of_others
from .macvtap import MacvtapPlugger
from .openvswitch import OvsPlugger
from .rewire import Rewirer

ENTRY_POINTS = "kedge.vif"

_BUILT_IN: dict[str, type[Plugger]] = {"ovs": OvsPlugger, "bridge": BridgePlugger, "macvtap": MacvtapPlugger}


def plugger_types() -> dict[str, type[Plugger]]:
    """The installed pluggers by `vif_type`; those of Kedge are there even if it was not installed by pip."""
    installed: dict[str, type[Plugger]] = {
        point.name: point.load() for point in entry_points(group=ENTRY_POINTS)
    }
    return {**_BUILT_IN, **installed}


class Plugged(NamedTuple):
    """What became of VIFs that were plugged together: how far each is, or why it failed, by its port."""

    states: dict[str, VifState]
    failed: dict[str, str]


@contextmanager
def noting(failed: dict[str, str], port_id: str) -> Iterator[None]:
    """Within the block, an error of Kedge's is noted as why this port failed."""
    try:
        yield
    except KedgeError as error:
        failed[port_id] = str(error)


class Pluggers:
    """Every plugger of this host as one; see `Plugger` for what each method does and raises.

    One change is made at a time. Looking needs no lock, and so never waits for a change.
    """

    def __init__(self, backends: Sequence[HostBackend]) -> None:
        """`backends` are those that the agent is configured for; the namespace is that of the calling thread."""
        self._links = Links()
        self._lock = RLock()
        self._backends = {backend.driver: backend for backend in backends}
        self._pluggers = {
            vif_type: plugger(self._backends.get(plugger.driver), self._links)
            for vif_type, plugger in plugger_types().items()
        }
        self._rewirer = Rewirer(self._pluggers, self._links)

    def close(self) -> None:
        """Let go of the kernel; what is plugged stays."""
        self._links.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def plug(self, vif: Vif, queues: int = 1) -> VifState:
        """Plug and wire a VIF, silent."""
        with self._lock:
            self._plug(vif, queues)
            ovs_client.wait()
            return self.state(vif)

    def plug_all(self, vifs: Iterable[tuple[Vif, int]]) -> Plugged:
        """Plug and wire VIFs, each with its number of queue pairs; one that fails does not keep back the others.

        Open vSwitch is waited for once. Raises HostFailure if that fails.
        """
        done: list[Vif] = []
        failed: dict[str, str] = {}
        with self._lock:
            for vif, queues in vifs:
                with noting(failed, vif.port_id):
                    self._plug(vif, queues)
                    done.append(vif)
            ovs_client.wait()
            states: dict[str, VifState] = {}
            with self.one_look():
                for vif in done:
                    with noting(failed, vif.port_id):
                        states[vif.port_id] = self.state(vif)
        return Plugged(states, failed)

    def _plug(self, vif: Vif, queues: int) -> None:
        # With the lock held, nobody is about to mark these any more.
        self._links.delete(self._half_made())
        if self._rewirer.is_elsewhere(vif):
            self._rewirer.take_over(vif)
        self._of(vif).plug(vif, queues)

    def mend(self, vif: Vif, queues: int = 1) -> VifState:
        """Plug a VIF again of which something is missing while its VM runs.

        An interface that somebody has taken down stays down, unlike when VIFs are plugged: a VIF is not worth
        undoing what an administrator does now. Raises HostFailure, also where the device itself is gone.
        """
        with self._lock:
            if self._links.find(vif.tap_name) is None:
                raise HostFailure(
                    f"{vif.tap_name} is gone while its VM runs, and QEMU takes no other in its place; "
                    "migrate the server, or detach its NIC and attach it again"
                )
            plugger = self._of(vif)
            if plugger.driver != OvsPlugger.driver:
                self._refuse_if_down(carrier(self._backends.get(plugger.driver), vif))
            return self.plug(vif, queues)

    def _refuse_if_down(self, interface: str) -> None:
        if not self._links.get(interface).up:
            raise HostFailure(f"{interface} is down, so no VIF on it can be mended; set it up")

    def state(self, vif: Vif, target: str | None = None) -> VifState:
        """How far the VIF is."""
        with self.one_look():
            return self._of(vif).state(vif, target)

    def states(self, vifs: Iterable[Vif]) -> dict[str, VifState]:
        """How far each VIF is, by its port, from one look at the host; one that can't be told is left out."""
        states: dict[str, VifState] = {}
        with self.one_look():
            for vif in vifs:
                with suppress(HostFailure):
                    states[vif.port_id] = self._of(vif).state(vif)
        return states

    def device(self, vif: Vif, target: str | None = None) -> str | None:
        """The device on which the VM's own frames can be seen."""
        return self._of(vif).device(vif, target)

    def heard(self, vif: Vif, target: str | None = None) -> frozenset[str]:
        """The MACs that the guest sends as."""
        return self._of(vif).heard(vif, target)

    def inject(self, vif: Vif, frames: Sequence[bytes], target: str | None = None) -> None:
        """Send frames in the VM's name so that the local switch and the fabric learn its place."""
        self._of(vif).inject(vif, frames, target)

    def network(self) -> HostNetwork:
        """How the host's devices hang together, Kedge's or not."""
        with self.one_look():
            return host_network(self._links)

    def as_it_is(self, backend: HostBackend) -> HostBackend:
        """A configured backend with the bridges that are there now."""
        if backend.driver != BridgePlugger.driver:
            return backend
        return replace(backend, bridges=bridges_of_others(self._links, backend))

    def place(self, device: str, mac: str, *, here: bool) -> None:
        """Let neighbours on this host find the VM of `device` here, or elsewhere; waits for no other change."""
        for plugger in self._pluggers.values():
            plugger.place(device, mac, here=here)

    def receives_for_one(self, device: str) -> bool:
        """Whether the VM behind a device receives for one MAC, and has to be told of another."""
        return any(plugger.receives_for_one(device) for plugger in self._pluggers.values())

    def receive_for(self, device: str, mac: str) -> None:
        """Give the VM behind a device what is sent to this MAC."""
        for plugger in self._pluggers.values():
            plugger.receive_for(device, mac)

    def make_ready(self, vif: Vif) -> None:
        """Make a VIF's side ready for the tap, which is in another switch."""
        with self._lock:
            self._rewirer.make_ready(vif)

    def move(self, vif: Vif, announce: Callable[[Vif], None]) -> float:
        """Move a tap to where the VIF says; see `Rewirer.move`."""
        with self._lock:
            return self._rewirer.move(vif, announce)

    def leave(self, vif: Vif) -> None:
        """Remove what is left where the VIF says, its tap being in another switch."""
        with self._lock:
            self._rewirer.leave(vif)

    def has_tap(self, vif: Vif) -> bool:
        """Whether the tap that Kedge made for the VIF's port is there."""
        return self._rewirer.has_tap(vif)

    def unplug(self, *port_ids: str) -> None:
        """Remove what Kedge made here for the ports, by whichever plugger. Open vSwitch is waited for once."""
        with self._lock:
            for plugger in self._pluggers.values():
                plugger.unplug(port_ids)
            ovs_client.wait()

    def plugged(self) -> list[VifReport]:
        """Every VIF that Kedge made on this host."""
        with self.one_look():
            return [report for plugger in self._pluggers.values() for report in plugger.plugged()]

    def loose(self) -> frozenset[str]:
        """What Kedge made on this host that belongs to no VIF and that none uses, in words."""
        with self.one_look():
            return frozenset(part.what for part in self._loose())

    def remove_loose(self, which: Collection[str]) -> list[str]:
        """Remove those of `which`, as `loose` has named them, that are loose still; what was removed."""
        with self._lock:
            gone = [part for part in self._loose() if part.what in which]
            for part in gone:
                part.remove()
        return [part.what for part in gone]

    def _loose(self) -> list[Loose]:
        shared = {part.what: part for plugger in self._pluggers.values() for part in plugger.loose()}
        unmarked = (
            Loose(f"unmarked device {link.name}", partial(self._links.delete, [link]))
            for link in self._half_made()
        )
        return [*shared.values(), *unmarked]

    def _half_made(self) -> list[Link]:
        return [link for link in self._links.all() if link.half_made]

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Within the block, this thread looks at the host once for all that it asks; for looking only."""
        with self._links.one_look(), ovs_client.one_look():
            yield

    def _of(self, vif: Vif) -> Plugger:
        plugger = self._pluggers.get(vif.vif_type)
        if plugger is None:
            known = ", ".join(sorted(self._pluggers))
            raise HostFailure(
                f"port {vif.port_id} has vif_type {vif.vif_type.value!r}; this host can plug {known}"
            )
        return plugger


__all__ = ["Plugged", "Plugger", "Pluggers", "noting", "plugger_types"]
