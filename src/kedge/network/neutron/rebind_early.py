"""One binding that moves ahead of the VM, for a Neutron without the extension `binding-extended`.

Everything above the network service works with two bindings per port, and the port here has one. So the port's
profile keeps, in its note, how the port is attached on the *other* host and which of the two counts as ACTIVE:

    before            Neutron: source                            shown: source ACTIVE
    bound ahead       Neutron: destination, migrating_to is set  shown: source ACTIVE, destination INACTIVE
    switched          Neutron: destination                       shown: destination ACTIVE, source INACTIVE
    settled           Neutron: destination, no note              shown: destination ACTIVE
    rolled back       Neutron: source, no note                   shown: source ACTIVE

The agents of Kedge plug and wire by what is shown, on both hosts, so the VM's network works throughout, although
Neutron calls the port bound on a host where the VM is not yet. Removing the INACTIVE binding is the roll-back: it
moves the port back. The note lives in Neutron, so that any conductor finds it after a crash.

`migrating_to` goes before the port moves back: Neutron's macvtap driver refuses to bind a port with it on a host
where the interface is another, so in the same request the port would end as `binding_failed`.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from kedge.model.network import Binding, BindingStatus

from ..errors import PortBindingInUse, PortBindingNotFound
from . import strategy
from .calls import Json, Neutron
from .forms import binding_of, row_of_port
from .notes import MIGRATING_TO, Note, Place, without_note
from .strategy import UNBOUND, Reasons


class RebindEarly:
    """The strategy `rebind-early`."""

    def __init__(
        self, neutron: Neutron, reasons: Reasons, again: Callable[[str], Json], workers: Executor
    ) -> None:
        self._neutron = neutron
        self._reasons = reasons
        self._again = again
        self._workers = workers

    def bindings(self, port: Json) -> list[Binding]:
        """The port's one binding, and beside it the one on the other host that its note knows of."""
        row = row_of_port(port)
        if not row["host"]:
            return []
        note = _note(port)
        shown = note.seen_by(_plain(row["profile"]), binding_of(port["id"], row))
        if note.former is None:
            return [shown]
        other = replace(
            shown,
            host=note.former.host,
            vif_type=note.former.vif_type,
            vif_details=dict(note.former.vif_details),
        )
        return strategy.in_order([_with_status(each, note) for each in (shown, other)])

    def bind(self, port: Json, host: str, migration_id: str | None) -> Binding:
        """Bind a port that is bound nowhere; or move its binding ahead of the VM, for a migration."""
        shown = self.bindings(port)
        strategy.refuse_present(strategy.on_host(shown, host), migration_id)
        present = strategy.active(shown)
        if present is None:
            bound = strategy.bind_first(self._neutron, port, host, self._reasons)
            return _required(self.bindings(bound), port, host)
        self._move(port, host, Note(migration_id, former=Place.of(present), active=present.host))
        return _required(self.bindings(self._again(port["id"])), port, host)

    def switch(self, ports: list[Json], host: str) -> list[Binding]:
        """Make the bindings on a host count. Where Neutron has the port is no matter of the switch any more."""
        for port in ports:
            _required(self.bindings(port), port, host)

        def put_back(port: Json) -> None:
            former = strategy.active(self.bindings(port))
            if former and former.host != host:
                self._switch(self._again(port["id"]), former.host)

        strategy.all_or_none(ports, lambda port: self._switch(port, host), put_back, self._workers.map)
        return [_required(self.bindings(self._again(port["id"])), port, host) for port in ports]

    def unbind(self, port: Json, host: str, *, even_active: bool) -> None:
        """Forget the binding on a host; if the port has gone there ahead of the VM, it comes back."""
        shown = self.bindings(port)
        present = strategy.on_host(shown, host)
        if present is None:
            return
        note = _note(port)
        if present.status is BindingStatus.ACTIVE:
            if not even_active:
                raise PortBindingInUse(port["id"], host)
            self._set(port, {"binding:host_id": "", "binding:profile": _plain(port["binding:profile"])})
        elif port["binding:host_id"] == host and note.former:
            self._move(port, note.former.host, None)
        else:
            self._set(port, {"binding:profile": _plain(port["binding:profile"])})

    def _switch(self, port: Json, host: str) -> None:
        shown = self.bindings(port)
        present = strategy.active(shown)
        if present and present.host == host and port["binding:vif_type"] not in UNBOUND:
            return
        note = _note(port)
        if port["binding:host_id"] == host:
            kept = replace(note, active=host)
            self._set(port, {"binding:profile": kept.into(_plain(port["binding:profile"]))})
            return
        # Only a roll-back after the switch comes here: the port goes back to where the VM runs.
        here = next(each for each in shown if each.host != host)
        self._move(port, host, Note(note.migration_id, former=Place.of(here), active=host))

    def _move(self, port: Json, host: str, note: Note | None) -> None:
        """Give the port to a host. Raises CannotBind, and then it is where it was."""
        was = row_of_port(port)
        profile = _plain(was["profile"])
        if was["profile"].get(MIGRATING_TO):
            # The note stays until the port has moved, or nobody would know where it is to go.
            self._set(port, {"binding:profile": _note(port).into(profile)})
        ahead = note is not None and note.active != host
        wanted = {**profile, MIGRATING_TO: host} if ahead else profile
        moved = self._set(
            port, {"binding:host_id": host, "binding:profile": note.into(wanted) if note else wanted}
        )
        if moved["binding:vif_type"] not in UNBOUND:
            return
        without = {key: value for key, value in was["profile"].items() if key != MIGRATING_TO}
        self._set(port, {"binding:profile": without})
        self._set(port, {"binding:host_id": was["host"], "binding:profile": was["profile"]})
        raise self._reasons(port, host)

    def _set(self, port: Json, changes: dict[str, Any]) -> Json:
        return strategy.set_port(self._neutron, port["id"], changes)


def _note(port: Json) -> Note:
    return Note.in_profile(port.get("binding:profile") or {})


def _plain(profile: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in without_note(profile).items() if key != MIGRATING_TO}


def _with_status(binding: Binding, note: Note) -> Binding:
    if binding.host == note.active:
        return replace(binding, status=BindingStatus.ACTIVE)
    return replace(binding, status=BindingStatus.INACTIVE, migration_id=note.migration_id)


def _required(shown: list[Binding], port: Json, host: str) -> Binding:
    found = strategy.on_host(shown, host)
    if found is None:
        raise PortBindingNotFound(port["id"], host)
    return found
