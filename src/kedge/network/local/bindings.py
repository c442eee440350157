"""Port bindings: made, switched and removed, each inside one transaction.

What must never be is prevented twice: here with a sentence for a person, and by the database's constraints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm.attributes import set_committed_value

from kedge.core.adopt import Recognised
from kedge.core.binding import Bound, bind_port
from kedge.model.domain import VifState
from kedge.model.errors import CannotBind
from kedge.model.host import Host
from kedge.model.network import Binding, BindingStatus, VifType
from kedge.model.rewiring import RewiredPort, Wiring
from kedge.store import direct
from kedge.store.tables import BindingRow, PortRow

from ..errors import (
    HostNotFound,
    PortBindingAlreadyExists,
    PortBindingError,
    PortBindingInUse,
    PortBindingNotFound,
    PortBindingOvertaken,
)
from . import events, hosts, views
from .work import Work

# What is true on one host or during one migration only, and so is not carried to another host's binding.
HOST_PROFILE_KEYS = frozenset(
    {
        "card_serial_number",
        "device_mac_address",
        "migrating_to",
        "pci_slot",
        "pci_vendor_info",
        "pf_mac_address",
        "physical_network",
        "vf_num",
    }
)
KEPT_PROFILE_KEY = "kedge"

ACTIVE_HOST = (
    select(BindingRow.host)
    .select_from(PortRow)
    .outerjoin(
        BindingRow, and_(BindingRow.port_id == PortRow.id, BindingRow.status == BindingStatus.ACTIVE.value)
    )
    .where(PortRow.id == bindparam("id"))
)
"""The query for the host of the ACTIVE binding of the port with this `id`: None if it has none."""


def refuse_overtaken(port: PortRow, host: str | None) -> None:
    """Raise PortBindingOvertaken unless the port's ACTIVE binding is still on this host (None: there is none).

    Of two callers that decide on the same state, the later one's decision is on a state that is gone.
    """
    present = views.active(port)
    if (present.host if present else None) != host:
        raise PortBindingOvertaken(port.id, present.host if present else "")


def in_order(row: PortRow) -> list[BindingRow]:
    """A port's bindings, the ACTIVE one first, the others by host."""
    return sorted(row.bindings, key=lambda each: (each.status != BindingStatus.ACTIVE, each.host))


def compute(work: Work, port: PortRow, host: str, vnic_type: str, driver: str | None = None) -> Bound:
    """How `port` is attached to `host`, by one driver if it is named. Raises PortBindingError with every reason."""
    wanted = replace(views.port(port), vnic_type=vnic_type)
    try:
        return bind_port(wanted, views.network(port.network), _host(work, host), driver)
    except HostNotFound as error:
        raise PortBindingError(f"Port {port.id} can't be bound on host {host}", [str(error)]) from error
    except CannotBind as error:
        raise PortBindingError(error.summary, error.reasons) from error


def _host(work: Work, name: str) -> Host:
    """The host, read once in a transaction, however many ports are bound there. Raises HostNotFound."""
    read: dict[str, Host] = work.session.info.setdefault("hosts", {})
    if name not in read:
        read[name] = hosts.host(work, name)
    return read[name]


def preview(work: Work, port: PortRow, host: str, *, ahead: bool = False) -> Binding:
    """The binding that `bind` would make."""
    present = views.on_host(port, host)
    vnic_type = present.vnic_type if present else port.vnic_type
    bound = compute(work, port, host, vnic_type)
    return Binding(
        port_id=port.id,
        host=host,
        status=BindingStatus(present.status) if present else _status_of_next(port, ahead),
        vif_type=bound.vif_type,
        vif_details=dict(bound.vif_details),
        vnic_type=vnic_type,
        profile=dict(present.profile) if present else carried_profile(port),
    )


def bind(
    work: Work,
    port: PortRow,
    host: str,
    *,
    migration_id: str | None = None,
    profile: Mapping[str, Any] | None = None,
    vnic_type: str | None = None,
    ahead: bool = False,
) -> BindingRow:
    """Bind `port` on `host`: ACTIVE if it has no ACTIVE binding and this is not `ahead` of one, else INACTIVE.

    A binding left there by any migration is adopted, and made anew, if a `migration_id` is given. Raises
    PortBindingAlreadyExists and PortBindingError.
    """
    present = views.on_host(port, host)
    if present and (present.status == BindingStatus.ACTIVE or migration_id is None):
        raise PortBindingAlreadyExists(port.id, host)
    vnic_type = vnic_type or (present.vnic_type if present else port.vnic_type)
    _refuse_allocation(port, host, profile or {})
    bound = compute(work, port, host, vnic_type)
    status = BindingStatus(present.status) if present else _status_of_next(port, ahead)
    values = {
        **_attached(work, bound),
        "vnic_type": vnic_type,
        "profile": merged(present.profile if present else carried_profile(port), profile or {}),
        # A migration owns a binding until that becomes the port's ACTIVE one.
        "migration_id": migration_id if status == BindingStatus.INACTIVE else None,
    }
    if status == BindingStatus.ACTIVE:
        _touch_now(work, port)
    if present:
        direct.change(work.session, present, **values)
        return present
    row = _new(work, port, host, status, values)
    direct.add(work.session, row)
    _know_bindings(port, [*port.bindings, row])
    return row


def bind_ahead(work: Work, port: PortRow, host: str, migration_id: str) -> BindingRow:
    """`bind` for a migration, unless what is there is ACTIVE or this migration's own. Raises PortBindingError."""
    present = views.on_host(port, host)
    if present and (present.status == BindingStatus.ACTIVE or present.migration_id == migration_id):
        return present
    return bind(work, port, host, migration_id=migration_id)


def bind_as_found(work: Work, port: PortRow, host: str, found: Recognised) -> BindingRow:
    """Bind a port that has no ACTIVE binding as its running NIC is attached. Raises PortBindingAlreadyExists."""
    present = views.active(port)
    if present:
        raise PortBindingAlreadyExists(port.id, present.host)
    row = _added(work, port, host, Bound("", found.vif_type, found.vif_details))
    row.vif_state = VifState.UP.value
    events.vif_changed(work, port, row, VifState.ABSENT, VifState.UP)
    work.session.flush()
    return row


def activate(work: Work, ports: Sequence[PortRow], host: str) -> list[BindingRow]:
    """Make the bindings on `host` of all `ports` ACTIVE and their others INACTIVE.

    The other bindings keep their details, for their hosts must still unplug them, and go to the migration that
    the activated ones came from. Raises PortBindingNotFound and PortBindingError, then nothing is changed.
    """
    chosen = [(port, _required(port, host)) for port in ports]
    for port, row in chosen:
        if not views.is_bound(row):
            bound = compute(work, port, host, row.vnic_type)
            direct.change(work.session, row, **_attached(work, bound))
    rising = [(port, row) for port, row in chosen if row.status != BindingStatus.ACTIVE]
    for port, row in rising:
        # The former one first: at no statement may the database hold two ACTIVE bindings of a port.
        former = views.active(port)
        if former:
            _write(work, former, status=BindingStatus.INACTIVE.value, migration_id=row.migration_id)
        _write(work, row, status=BindingStatus.ACTIVE.value, migration_id=None)
        _touch_now(work, port, **({} if former else {"was_unbound": True}))
    return [row for _, row in chosen]


def wiring(work: Work, port: PortRow, host: str, driver: str) -> Wiring:
    """How this driver would attach the port, which is bound on `host`. Raises PortBindingError."""
    bound = compute(work, port, host, _required(port, host).vnic_type, driver)
    return Wiring(bound.vif_type, dict(bound.vif_details), bound.driver)


def wired(port: PortRow, host: str) -> Wiring:
    """How the port's binding on `host` says that it is attached. Raises PortBindingNotFound."""
    row = _required(port, host)
    return Wiring(VifType(row.vif_type), dict(row.vif_details), row.driver)


def rewire(work: Work, port: PortRow, host: str, change: RewiredPort) -> None:
    """Let the port's ACTIVE binding say how it is wired now. Raises PortBindingOvertaken if it says what it did not."""
    row = views.active(port)
    before, after = change.before, change.after
    if row is None or row.host != host or not _says(row, before.vif_type, before.vif_details):
        raise PortBindingOvertaken(port.id, row.host if row else "")
    _write(work, row, vif_type=after.vif_type.value, vif_details=dict(after.vif_details), driver=after.driver)
    _touch_now(work, port)


def unbind(work: Work, port: PortRow, host: str, *, even_active: bool = False) -> None:
    """Delete the binding on `host`, if there is one. Raises PortBindingInUse for an ACTIVE one."""
    row = views.on_host(port, host)
    if row is None:
        return
    if row.status == BindingStatus.ACTIVE:
        if not even_active:
            raise PortBindingInUse(port.id, host)
        # What was set on the port stays with it and comes to its next binding.
        _touch_now(work, port, profile=_portable(row.profile))
    direct.remove(work.session, row)
    _know_bindings(port, [each for each in port.bindings if each is not row])


def move(work: Work, port: PortRow, host: str) -> None:
    """Make the port's ACTIVE binding one on `host`, and delete the former one (Neutron's `binding:host_id`).

    A host that can't bind the port gives a binding of type `binding_failed`, as in Neutron. "" only unbinds.
    """
    former = views.active(port)
    if former and former.host == host and views.is_bound(former):
        return
    row = views.on_host(port, host) if host else None
    profile = carried_profile(port)
    if former and former is not row:
        unbind(work, port, former.host, even_active=True)
    if not host:
        return
    try:
        bound = compute(work, port, host, row.vnic_type if row else port.vnic_type)
    except CannotBind:
        bound = Bound("", VifType.BINDING_FAILED)
    if row is None:
        row = _added(work, port, host, bound)
        row.profile = profile
    else:
        _attach(work, row, bound)
    row.status = BindingStatus.ACTIVE.value
    row.migration_id = None
    touch(work, port)
    work.session.flush()


def set_profile(work: Work, port: PortRow, row: BindingRow | None, profile: Mapping[str, Any]) -> None:
    """Replace a binding's profile, or without one what the port's first binding will get, as Neutron does.

    What a Kedge keeps there that has this service for its Neutron stays until it is given as null: whoever replaces a
    profile by what he read a moment ago would drop it (Nova does).
    """
    target = row or port
    kept = {key: value for key, value in target.profile.items() if key == KEPT_PROFILE_KEY}
    target.profile = merged(kept, profile)
    target.updated_at = work.now
    if target is not port:
        touch(work, port)


def set_vnic_type(work: Work, port: PortRow, row: BindingRow, vnic_type: str) -> None:
    """Bind anew on the same host as another type of VNIC. Raises PortBindingError, then nothing is changed."""
    if vnic_type == row.vnic_type:
        return
    _attach(work, row, compute(work, port, row.host, vnic_type))
    row.vnic_type = vnic_type
    if row.status == BindingStatus.ACTIVE:
        touch(work, port)
    work.session.flush()


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both profiles in one: keys of `new` win, and a key whose value is None is removed."""
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def carried_profile(port: PortRow) -> dict[str, Any]:
    """What a new binding of the port gets from the ACTIVE one."""
    present = views.active(port)
    return _portable(present.profile if present else port.profile)


def touch(work: Work, port: PortRow) -> None:
    """Note that the port was changed."""
    port.revision_number += 1
    port.updated_at = work.now


def _says(row: BindingRow, vif_type: VifType, details: Mapping[str, Any]) -> bool:
    return row.vif_type == vif_type.value and row.vif_details == dict(details)


def _refuse_allocation(port: PortRow, host: str, profile: Mapping[str, Any]) -> None:
    # Neutron looks for the mechanism driver whose resource provider it names, and fails if there is none.
    if profile.get("allocation"):
        raise PortBindingError(
            f"Port {port.id} can't be bound on host {host}",
            [
                f"the profile's allocation names the resource provider {profile['allocation']!r}, and Kedge reports "
                "none to Placement; use a port without a minimum of bandwidth"
            ],
        )


def _portable(profile: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in profile.items() if key not in HOST_PROFILE_KEYS}


def _status_of_next(port: PortRow, ahead: bool) -> BindingStatus:
    return BindingStatus.INACTIVE if ahead or views.active(port) else BindingStatus.ACTIVE


def _required(port: PortRow, host: str) -> BindingRow:
    row = views.on_host(port, host)
    if row is None:
        raise PortBindingNotFound(port.id, host)
    return row


def _new(
    work: Work, port: PortRow, host: str, status: BindingStatus, values: Mapping[str, Any]
) -> BindingRow:
    return BindingRow(
        port_id=port.id,
        host=host,
        status=status.value,
        vif_state=VifState.ABSENT.value,
        created_at=work.now,
        **values,
    )


def _added(work: Work, port: PortRow, host: str, bound: Bound) -> BindingRow:
    """A new binding, which the session writes."""
    values = _attached(work, bound) | {"vnic_type": port.vnic_type, "profile": carried_profile(port)}
    row = _new(work, port, host, _status_of_next(port, ahead=False), values)
    port.bindings.append(row)
    return row


def _attach(work: Work, row: BindingRow, bound: Bound) -> None:
    for name, value in _attached(work, bound).items():
        setattr(row, name, value)


def _attached(work: Work, bound: Bound) -> dict[str, Any]:
    return {
        "vif_type": bound.vif_type.value,
        "vif_details": dict(bound.vif_details),
        "driver": bound.driver or None,
        "updated_at": work.now,
    }


def _write(work: Work, row: BindingRow, **values: Any) -> None:
    direct.change(work.session, row, **values, updated_at=work.now)


def _touch_now(work: Work, port: PortRow, **values: Any) -> None:
    """As `touch`, with what else is to be written of the port."""
    number = port.revision_number + 1
    direct.change(work.session, port, **values, revision_number=number, updated_at=work.now)


def _know_bindings(port: PortRow, bindings: list[BindingRow]) -> None:
    """The port has these bindings now, by statements that the session knows nothing of."""
    for each in bindings:
        set_committed_value(each, "port", port)
    set_committed_value(port, "bindings", sorted(bindings, key=lambda each: each.host))
