"""What every operation on the database needs: the session of its transaction, and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, or_, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from kedge.model.caller import Identity
from kedge.model.errors import Forbidden
from kedge.model.network_rules import NetworkRules

Clock = Callable[[], datetime]


def new_id() -> str:
    """A new UUID, as text."""
    return str(uuid4())


@dataclass(frozen=True)
class Work:
    """One transaction. An agent that has been silent for longer than `dead_after` counts as dead.

    For a `caller` who is confined to a project, what is not the project's is not there. None is Kedge itself.
    `rules` are the network service's settings.
    """

    session: Session
    now: datetime
    dead_after: timedelta
    rules: NetworkRules
    caller: Identity | None = None

    @property
    def project(self) -> str | None:
        """The project that the caller is confined to."""
        return self.caller.project if self.caller and self.caller.confined else None

    @property
    def trusted(self) -> bool:
        """Whether the caller may speak for servers."""
        return self.caller is None or self.caller.trusted

    def shows(self, project_id: str) -> bool:
        """Whether the caller may know of what belongs to this project. What belongs to none is no project's."""
        return self.project in (None, project_id)

    def sees(
        self,
        project_id: InstrumentedAttribute[str],
        shared: ColumnElement[bool] | InstrumentedAttribute[bool],
    ) -> ColumnElement[bool]:
        """Which rows the caller may know of: its project's, and those that are shared with all."""
        return true() if self.project is None else or_(project_id == self.project, shared)

    def require_own(self, project_id: str) -> None:
        """Raises Forbidden if what belongs to this project is not the caller's, though that one may know of it."""
        if not self.shows(project_id):
            raise Forbidden(
                "rule:admin_or_network_owner is disallowed by policy"
                f" (you act for project {self.project}, and it is another's)"
            )

    def owner(self, project_id: str) -> str:
        """The project that what the caller makes belongs to, by what the body says. Raises Forbidden.

        If that says nothing, it is the one that the caller acts for, if any.
        """
        if self.project is not None and project_id not in ("", self.project):
            raise Forbidden(f"rule:project_id is disallowed by policy (you act for project {self.project})")
        return project_id or (self.caller.project if self.caller else None) or ""
