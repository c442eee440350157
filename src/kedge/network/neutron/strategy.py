"""What both ways to move bindings share: the first binding of a port, and its last."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kedge.model.errors import CannotBind, KedgeError
from kedge.model.network import Binding, VifType

from ..errors import PortBindingAlreadyExists, PortBindingInUse
from .calls import Json, Neutron
from .notes import Note, Place, without_note

Reasons = Callable[[Json, str], CannotBind]
"""Why a port can't be bound on a host, as well as Kedge can tell: Neutron names no reasons."""

UNBOUND = {VifType.UNBOUND.value, VifType.BINDING_FAILED.value}


class Strategy(Protocol):
    """One way to move the bindings of a port from host to host. `port` is Neutron's JSON of it, just read."""

    def bindings(self, port: Json) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        ...

    def bind(self, port: Json, host: str, migration_id: str | None) -> Binding:
        """Bind a port on a host (see NetworkService)."""
        ...

    def switch(self, ports: list[Json], host: str) -> list[Binding]:
        """Make the bindings on a host ACTIVE (see NetworkService)."""
        ...

    def unbind(self, port: Json, host: str, *, even_active: bool) -> None:
        """Remove the binding on a host (see NetworkService)."""
        ...


def bind_first(
    neutron: Neutron, port: Json, host: str, reasons: Reasons, *, found: Place | None = None
) -> Json:
    """Bind a port that has no binding; the port as it is then. Raises CannotBind, and leaves it unbound again."""
    changes: dict[str, Any] = {"binding:host_id": host}
    if found:
        changes["binding:profile"] = Note(found=found).into(port.get("binding:profile") or {})
    bound = set_port(neutron, port["id"], changes)
    if bound["binding:vif_type"] not in UNBOUND:
        return bound
    set_port(
        neutron, port["id"], {"binding:host_id": "", "binding:profile": port.get("binding:profile") or {}}
    )
    raise reasons(port, host)


def set_port(neutron: Neutron, port_id: str, changes: Mapping[str, Any]) -> Json:
    """Change a port; what it is then. A profile that is given replaces the one that was there."""
    changed: Json = neutron.put(f"/ports/{port_id}", {"port": dict(changes)})["port"]
    wanted = changes.get("binding:profile")
    if wanted is None:
        return changed
    surplus = set(changed.get("binding:profile") or {}) - set(wanted)
    if surplus:  # Kedge's own network service keeps Kedge's key; null takes it away.
        changes = {"binding:profile": {**wanted, **dict.fromkeys(surplus)}}
        changed = neutron.put(f"/ports/{port_id}", {"port": changes})["port"]
    return changed


def refuse_present(present: Binding | None, migration_id: str | None) -> None:
    """Raise PortBindingAlreadyExists where a binding may not be made anew."""
    if present and (present.status == "ACTIVE" or migration_id is None):
        raise PortBindingAlreadyExists(present.port_id, present.host)


def unbind_active(neutron: Neutron, port: Json, host: str, *, even_active: bool) -> None:
    """Take the host from a port that is bound there. Raises PortBindingInUse."""
    if not even_active:
        raise PortBindingInUse(port["id"], host)
    profile = without_note(port.get("binding:profile") or {})
    set_port(neutron, port["id"], {"binding:host_id": "", "binding:profile": profile})


def on_host(bindings: list[Binding], host: str) -> Binding | None:
    """The binding on a host."""
    return next((each for each in bindings if each.host == host), None)


def active(bindings: list[Binding]) -> Binding | None:
    """The ACTIVE binding."""
    return next((each for each in bindings if each.status == "ACTIVE"), None)


def in_order(bindings: list[Binding]) -> list[Binding]:
    """The ACTIVE one first, the others by host."""
    return sorted(bindings, key=lambda each: (each.status != "ACTIVE", each.host))


def all_or_none(
    ports: list[Json], do: Callable[[Json], None], undo: Callable[[Json], None], at_once: Callable[..., Any]
) -> None:
    """Do something for every port at the same time. If it fails for one, it is undone for the others.

    Raises the first error; one that comes up while undoing is noted on it.
    """

    def tried(port: Json) -> KedgeError | None:
        try:
            do(port)
        except KedgeError as error:
            return error
        return None

    errors = list(at_once(tried, ports))
    first = next((error for error in errors if error), None)
    if first is None:
        return
    for port, error in zip(ports, errors, strict=True):
        try:
            if error is None:
                undo(port)
        except KedgeError as again:
            first.add_note(f"and port {port['id']} could not be put back: {again}")
    raise first
