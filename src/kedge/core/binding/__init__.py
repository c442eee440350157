"""How a port is attached to a host: asks the mechanism driver of each of the host's backends in turn.

A driver is one module with a function `bind` (see `answer.Driver`), found by the entry-point group
`kedge.binding`; its name there is the `driver` of the `HostBackend`s it answers for.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from kedge.model.errors import CannotBind
from kedge.model.host import Host, HostBackend
from kedge.model.network import Network, Port

from . import linuxbridge, macvtap, openvswitch
from .answer import Bound, Driver, Refused

ENTRY_POINTS = "kedge.binding"

_BUILT_IN: Mapping[str, Driver] = {
    openvswitch.NAME: openvswitch.bind,
    linuxbridge.NAME: linuxbridge.bind,
    macvtap.NAME: macvtap.bind,
}

_DISABLED = Refused("its agent is out of use (admin_state_up is false); set that, or choose another host")


@cache
def drivers() -> Mapping[str, Driver]:
    """The installed mechanism drivers by name; those of Kedge are there even if it was not installed by pip."""
    installed: dict[str, Driver] = {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}
    return {**_BUILT_IN, **installed}


def bind_port(port: Port, network: Network, host: Host, driver: str | None = None) -> Bound:
    """How `port` is attached to `network` on `host`: the answer of the first backend that can, or of this driver's.

    Raises CannotBind with one reason for each backend that was asked, or the one that made asking pointless.
    """
    summary = f"Port {port.id} can't be bound on host {host.name}"
    if not host.alive:
        raise CannotBind(summary, [f"the agent on {host.name} is dead; start it, or choose another host"])
    if not host.backends:
        raise CannotBind(summary, [f"the agent on {host.name} reports no network backend; configure one"])
    asked = [backend for backend in host.backends if driver in (None, backend.driver)]
    if not asked:
        there = ", ".join(backend.driver for backend in host.backends)
        raise CannotBind(
            summary,
            [
                f"the agent on {host.name} reports no backend {driver!r} (it has: {there}); configure it beside those"
            ],
        )
    reasons = []
    for backend in asked:
        answer = _DISABLED if backend.driver in host.disabled else _ask(port, network, backend)
        if isinstance(answer, Bound):
            return answer
        reasons.append(f"{backend.driver}: {answer.reason}")
    raise CannotBind(summary, reasons)


def _ask(port: Port, network: Network, backend: HostBackend) -> Bound | Refused:
    driver = drivers().get(backend.driver)
    if driver is None:
        known = ", ".join(sorted(drivers()))
        return Refused(f"there is no mechanism driver of this name (there are: {known})")
    return driver(port, network, backend)


__all__ = ["Bound", "Driver", "Refused", "bind_port", "drivers"]
