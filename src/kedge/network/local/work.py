"""What every operation on the database needs: the session of its transaction, and what time it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy.orm import Session

Clock = Callable[[], datetime]


def new_id() -> str:
    """A new UUID, as text."""
    return str(uuid4())


@dataclass(frozen=True)
class Work:
    """One transaction. An agent that has been silent for longer than `dead_after` counts as dead."""

    session: Session
    now: datetime
    dead_after: timedelta
