"""What every operation on the database needs: the session of its transaction, and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy.orm import Session

from kedge.model.caller import Identity
from kedge.model.errors import Forbidden

Clock = Callable[[], datetime]


def new_id() -> str:
    """A new UUID, as text."""
    return str(uuid4())


@dataclass(frozen=True)
class Work:
    """One transaction. An agent that has been silent for longer than `dead_after` counts as dead.

    For a `caller` who is confined to a project, what is not the project's is not there. None is Kedge itself.
    """

    session: Session
    now: datetime
    dead_after: timedelta
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

    def owner(self, project_id: str) -> str:
        """The project that what the caller makes belongs to, by what the body says. Raises Forbidden."""
        if self.project is not None and project_id not in ("", self.project):
            raise Forbidden(f"rule:project_id is disallowed by policy (you act for project {self.project})")
        return project_id if self.project is None else self.project
