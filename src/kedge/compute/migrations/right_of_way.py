"""Right of way for migrations whose VM stands still: the others wait while its bindings are switched."""

import threading
import time

LONGEST_S = 1.0
"""So long at most one hurries, for a host that does not answer can't be hurried; and so long at most another waits."""


class RightOfWay:
    """Who hurries, and those who let them pass."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hurrying: dict[str, float] = {}

    def hurry(self, migration_id: str) -> None:
        """From now on, until `done` or for as long as one may, the others wait."""
        with self._changed:
            self._hurrying[migration_id] = time.monotonic() + LONGEST_S

    def done(self, migration_id: str) -> None:
        """It hurries no more; nothing happens if it did not."""
        with self._changed:
            self._hurrying.pop(migration_id, None)
            if not self._hurrying:
                self._changed.notify_all()

    def give_way(self, migration_id: str) -> bool:
        """Wait while another one hurries, unless this one does itself; says whether the way is free."""
        until = time.monotonic() + LONGEST_S
        with self._changed:
            while migration_id not in self._hurrying:
                now = time.monotonic()
                hurried_until = max(self._hurrying.values(), default=now)
                if hurried_until <= now:
                    break
                if until <= now:
                    return False
                self._changed.wait(min(hurried_until, until) - now)
            return True
