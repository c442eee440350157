"""The ports that a list can hold: what the database can compare, it compares, so that not all ports are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from kedge.model.network import BindingStatus
from kedge.store.tables import BindingRow, NetworkRow, PortRow

from .ports import WHOLE
from .work import Work

_EXACT = {"id": PortRow.id, "network_id": PortRow.network_id, "device_id": PortRow.device_id}

# These are the same in capital and small letters, as in Neutron.
_FOLDED: Mapping[str, Any] = {
    "name": PortRow.name,
    "description": PortRow.description,
    "device_owner": PortRow.device_owner,
    "mac_address": PortRow.mac_address,
    "project_id": PortRow.project_id,
    "tenant_id": PortRow.project_id,
    "binding:host_id": BindingRow.host,
}


def compares(name: str, values: Sequence[str]) -> bool:
    """Whether the database compares these values of an attribute as `search` must."""
    if name in _EXACT:
        return True
    # Letters beyond ASCII are folded in ways of its own. And a port without a binding is shown with the host "",
    # which no binding has.
    return (
        name in _FOLDED and all(map(str.isascii, values)) and (name != "binding:host_id" or "" not in values)
    )


@dataclass(frozen=True)
class Part:
    """The ports from `marker` on (with it), in the order in which they were made or against it; at most `most`."""

    most: int
    marker: str | None = None
    backwards: bool = False


def search(work: Work, wanted: Mapping[str, Sequence[str]], part: Part | None = None) -> list[PortRow]:
    """The ports with one of these values for each attribute, in the order in which they were made.

    Only for what `compares` is true of.
    """
    query = select(PortRow).where(*(_condition(name, values) for name, values in wanted.items()))
    if work.project is not None:
        on_own_network = PortRow.network.has(NetworkRow.project_id == work.project)
        query = query.where(or_(PortRow.project_id == work.project, on_own_network))
    if part is None:
        rows = work.session.scalars(query.options(*WHOLE).order_by(PortRow.number))
        return list(rows.unique())
    if part.marker is not None:
        place = select(PortRow.number).where(PortRow.id == part.marker).scalar_subquery()
        query = query.where(PortRow.number <= place if part.backwards else PortRow.number >= place)
    order = PortRow.number.desc() if part.backwards else PortRow.number
    found = list(work.session.scalars(query.options(*WHOLE).order_by(order).limit(part.most)).unique())
    return found[::-1] if part.backwards else found


def _condition(name: str, values: Sequence[str]) -> ColumnElement[bool]:
    if name in _EXACT:
        return _EXACT[name].in_(values)
    folded: ColumnElement[bool] = func.lower(_FOLDED[name]).in_([value.lower() for value in values])
    if name == "binding:host_id":
        return PortRow.bindings.any((BindingRow.status == BindingStatus.ACTIVE) & folded)
    return folded
