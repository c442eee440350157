"""Bindings on two hosts at once: Neutron's extension `binding-extended`.

What Neutron does there that Kedge must make good (each was seen with Neutron 29):

- The switch wipes the binding that was ACTIVE (`unbound`, no details), although its host still has to unplug the
  VIF. Its details are kept in the note of the binding that is made ahead.
- A binding that was wiped and is activated again comes out ACTIVE and `unbound`. It is bound again by an update of
  the port with the same host.
- There is one activation per port and none for a server. Kedge activates all ports at the same time, and puts back
  those that were switched when one fails.
- Two clients that activate different hosts at the same time can leave two ACTIVE bindings. The one that the port
  shows counts; the switch deletes the other one.
- A port that has never been bound has an ACTIVE binding with no host, which would stay for ever as an INACTIVE one
  that no URL names. So the first binding is made by an update of the port.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

from kedge.model.errors import CannotBind, Conflict, NotFound
from kedge.model.network import Binding, BindingStatus, VifType

from ..errors import PortBindingNotFound
from . import strategy
from .calls import Json, Neutron
from .forms import binding_of, row_of_port
from .notes import Note, Place, carried
from .strategy import UNBOUND, Reasons

Predict = Callable[[Json, str], Place]
"""How a port is probably attached on a host. Raises CannotBind."""


class Parallel:
    """The strategy `parallel`."""

    def __init__(self, neutron: Neutron, reasons: Reasons, predict: Predict, workers: Executor) -> None:
        self._neutron = neutron
        self._reasons = reasons
        self._predict = predict
        self._workers = workers

    def bindings(self, port: Json) -> list[Binding]:
        """All bindings of a port, the ACTIVE one first."""
        return self._shown(port, self._rows(port))

    def bind(self, port: Json, host: str, migration_id: str | None) -> Binding:
        """Bind a port on a host; a binding that was left there is deleted and made anew for a migration."""
        rows = self._rows(port)
        shown = self._shown(port, rows)
        strategy.refuse_present(strategy.on_host(shown, host), migration_id)
        if any(row["host"] == host for row in rows):
            self._delete(port, host)
        present = strategy.active(shown)
        if present is None and _is_active(rows, ""):
            bound = strategy.bind_first(self._neutron, port, host, self._reasons)
            return strategy.on_host(self.bindings(bound), host) or _lost(port, host)
        profile = carried(present.profile if present else {})
        if present and migration_id:
            turn = Note.in_profile(_profile_of(rows, present.host)).turn + 1
            profile = Note(migration_id, turn, Place.of(present)).into(profile)
        made = self._post(port, host, profile)
        if made["vif_type"] in UNBOUND:  # What Neutron answers where no ACTIVE binding stands beside it.
            self._delete(port, host)
            raise self._reasons(port, host)
        if present is None and made["status"] != BindingStatus.ACTIVE:
            self._activated(port, host)
        return strategy.on_host(self.bindings(port), host) or _lost(port, host)

    def switch(self, ports: list[Json], host: str) -> list[Binding]:
        """Activate the bindings on a host of all ports, at the same time; not in one transaction."""
        before = {port["id"]: self._rows(port) for port in ports}
        for port in ports:
            if not any(row["host"] == host for row in before[port["id"]]):
                raise PortBindingNotFound(port["id"], host)

        def put_back(port: Json) -> None:
            former = strategy.active(self._shown(port, before[port["id"]]))
            if former and former.host != host:
                self._activate(port, self._rows(port), former.host)

        strategy.all_or_none(
            ports,
            lambda port: self._activate(port, before[port["id"]], host),
            put_back,
            self._workers.map,
        )
        return [
            strategy.on_host(self.bindings(self._again(port)), host) or _lost(port, host) for port in ports
        ]

    def unbind(self, port: Json, host: str, *, even_active: bool) -> None:
        """Delete the binding on a host."""
        present = strategy.on_host(self.bindings(port), host)
        if present is None:
            return
        if present.status is BindingStatus.ACTIVE or port.get("binding:host_id") == host:
            strategy.unbind_active(self._neutron, port, host, even_active=even_active)
        else:
            self._delete(port, host)

    def _activate(self, port: Json, rows: list[Json], host: str) -> None:
        profile = self._with_former(port, rows, host)
        present = next(row for row in rows if row["host"] == host)
        rebound: dict[str, Any] = {"binding:host_id": host}
        if not any(row["status"] == BindingStatus.ACTIVE for row in rows):
            # Neutron can't activate where nothing is ACTIVE, but a binding made then is so at once.
            self._delete(port, host)
            present = self._post(port, host, present["profile"])
            if present["status"] != BindingStatus.ACTIVE:  # Kedge's own network service can activate it.
                present = self._activated(port, host)
        elif present["status"] != BindingStatus.ACTIVE:
            if profile and present["vif_type"] in UNBOUND:
                # Neutron fails to change the profile of a binding that it wiped; it comes with the binding anew.
                rebound["binding:profile"] = profile
            elif profile:
                self._neutron.put(f"/ports/{port['id']}/bindings/{host}", {"binding": {"profile": profile}})
            present = self._activated(port, host)
        if present["vif_type"] in UNBOUND:
            present = row_of_port(strategy.set_port(self._neutron, port["id"], rebound))
        if present["vif_type"] in UNBOUND:
            raise self._reasons(port, host)
        if len([row for row in rows if row["status"] == BindingStatus.ACTIVE]) > 1:
            self._delete_rivals(port, host)

    def _delete_rivals(self, port: Json, host: str) -> None:
        for row in self._rows(port):
            if row["status"] == BindingStatus.ACTIVE and row["host"] not in {host, ""}:
                self._delete(port, row["host"])

    def _activated(self, port: Json, host: str) -> Json:
        try:
            return self._neutron.put(f"/ports/{port['id']}/bindings/{host}/activate")
        except Conflict:
            # An answer that was lost, or somebody else's activation of the same binding.
            row: Json = self._neutron.get(f"/ports/{port['id']}/bindings/{host}")["binding"]
            if row["status"] != BindingStatus.ACTIVE:
                raise
            return row

    def _with_former(self, port: Json, rows: list[Json], host: str) -> dict[str, Any] | None:
        """The profile for the binding on `host` that keeps what its activation wipes; None if it does already."""
        former = strategy.active(self._shown(port, rows))
        if former is None or former.host == host:
            return None
        profile = _profile_of(rows, host)
        note = Note.in_profile(profile)
        turn = Note.in_profile(_profile_of(rows, former.host)).turn
        if note.former == Place.of(former) and note.turn > turn:
            return None
        shown = strategy.on_host(self._shown(port, rows), host)
        maker = shown.migration_id if shown else note.migration_id
        kept = replace(note, migration_id=maker, turn=turn + 1, former=Place.of(former))
        return kept.into(profile)

    def _shown(self, port: Json, rows: list[Json]) -> list[Binding]:
        """The bindings as Kedge means them: one ACTIVE at most, and none without its details."""
        chosen = _chosen(port, rows)
        notes = {row["host"]: Note.in_profile(row.get("profile") or {}) for row in rows}
        return strategy.in_order([self._shown_row(port, row, chosen, notes) for row in rows if row["host"]])

    def _shown_row(self, port: Json, row: Json, chosen: str | None, notes: dict[str, Note]) -> Binding:
        host = row["host"]
        note = notes[host]
        binding = note.seen_by(row.get("profile") or {}, binding_of(port["id"], row))
        # One that is ACTIVE and unbound is shown INACTIVE: it is to be activated, that is, bound anew.
        if host == chosen and binding.vif_type is not VifType.UNBOUND:
            return binding
        above = notes.get(chosen or "", Note())
        is_former = above.former is not None and above.former.host == host and note.turn <= above.turn
        maker = above if is_former else note
        binding = replace(binding, status=BindingStatus.INACTIVE, migration_id=maker.migration_id)
        if binding.vif_type is not VifType.UNBOUND:
            return binding
        place = next((each for each in _formers([above, *notes.values()]) if each.host == host), None)
        try:
            place = place or self._predict(port, host)
        except CannotBind:
            return binding
        return replace(binding, vif_type=place.vif_type, vif_details=dict(place.vif_details))

    def _rows(self, port: Json) -> list[Json]:
        rows: list[Json] = self._neutron.get(f"/ports/{port['id']}/bindings")["bindings"]
        return rows

    def _again(self, port: Json) -> Json:
        found: Json = self._neutron.get(f"/ports/{port['id']}")["port"]
        return found

    def _post(self, port: Json, host: str, profile: dict[str, Any]) -> Json:
        body = {"host": host, "vnic_type": port.get("binding:vnic_type", "normal"), "profile": profile}
        try:
            made: Json = self._neutron.post(f"/ports/{port['id']}/bindings", {"binding": body})["binding"]
        except CannotBind as error:
            raise self._reasons(port, host) from error
        return made

    def _delete(self, port: Json, host: str) -> None:
        try:
            self._neutron.delete(f"/ports/{port['id']}/bindings/{host}")
        except NotFound:
            return


def _formers(notes: Iterable[Note]) -> list[Place]:
    return [note.former for note in notes if note.former]


def _chosen(port: Json, rows: list[Json]) -> str | None:
    """The host whose binding is the ACTIVE one; where there are two, the one that the port shows."""
    hosts = [row["host"] for row in rows if row["status"] == BindingStatus.ACTIVE and row["host"]]
    shown = port.get("binding:host_id")
    return shown if shown in hosts else next(iter(hosts), None)


def _is_active(rows: list[Json], host: str) -> bool:
    return any(row["host"] == host and row["status"] == BindingStatus.ACTIVE for row in rows)


def _profile_of(rows: list[Json], host: str) -> dict[str, Any]:
    return next((dict(row.get("profile") or {}) for row in rows if row["host"] == host), {})


def _lost(port: Json, host: str) -> Binding:
    raise Conflict(
        f"The binding of port {port['id']} on host {host} was removed by somebody else; try again."
    )
