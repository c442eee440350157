"""What operators say of hosts, in the database."""

from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from kedge.core.placement.labels import changed
from kedge.model.errors import BadRequest, NotFound
from kedge.model.placement import HostLimits, HostSettings
from kedge.store import lock_name, reading, transaction
from kedge.store.tables import HostRow, HostSettingsRow

from .rooms import lock_promises, settings_of

LONGEST_REASON = 255


class HostSettingsRecords:
    """The settings of hosts. Whatever changes one raises NotFound for a host that never reported."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> dict[str, HostSettings]:
        """By host, those of which something was said."""
        with reading(self._engine) as session:
            return {row.host: settings_of(row) for row in session.scalars(select(HostSettingsRow))}

    def of(self, host: str) -> HostSettings:
        """Of one host; the usual ones if nothing was said."""
        with reading(self._engine) as session:
            return settings_of(session.get(HostSettingsRow, host))

    def label(self, host: str, changes: Mapping[str, str | None]) -> HostSettings:
        """Set labels, and take those off whose value is None. Raises BadRequest."""
        with transaction(self._engine) as session:
            row = _row(session, host)
            row.labels = changed(row.labels, changes)
            return settings_of(row)

    def disable(self, host: str, reason: str) -> HostSettings:
        """Let it receive no server from now on; what is there stays. Raises BadRequest for a reason that says nothing.

        A migration that has begun goes on.
        """
        reason = reason.strip()
        if not reason:
            raise BadRequest(f"Say why {host} is disabled, for whoever wonders later.")
        if len(reason) > LONGEST_REASON:
            raise BadRequest(
                f"The reason has {len(reason)} characters; at most {LONGEST_REASON} are kept. Shorten it."
            )
        return self._set_disabled(host, reason)

    def enable(self, host: str) -> HostSettings:
        """Let it receive servers again."""
        return self._set_disabled(host, None)

    def limit(self, host: str, limits: HostLimits) -> HostSettings:
        """Set how much of it servers may be promised."""
        with transaction(self._engine) as session:
            row = _row(session, host)
            row.limits = asdict(limits)
            return settings_of(row)

    def _set_disabled(self, host: str, reason: str | None) -> HostSettings:
        with transaction(self._engine) as session:
            lock_promises(session)  # Nothing is promised there after this has returned.
            row = _row(session, host)
            row.disabled = reason
            return settings_of(row)


def _row(session: Session, host: str) -> HostSettingsRow:
    lock_name(session, f"kedge: settings of host {host}")
    row = session.get(HostSettingsRow, host)
    if row is None:
        if session.get(HostRow, host) is None:
            known = (
                ", ".join(session.scalars(select(HostRow.name).order_by(HostRow.name).limit(10))) or "none"
            )
            raise NotFound(f"There is no host {host!r}. Known hosts: {known}.")
        row = HostSettingsRow(host=host, labels={}, disabled=None, limits={})
        session.add(row)
    return row
