"""Right of way for migrations whose VM stands still: the others wait while its bindings are switched."""

import threading

LONGEST_S = 0.25
"""Nobody waits longer at a time: a VM may stand still for a long time, and another host does not answer."""


class RightOfWay:
    """Who hurries, and those who let them pass."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hurrying: set[str] = set()

    def hurry(self, migration_id: str) -> None:
        """From now on, until `done`, the others wait."""
        with self._changed:
            self._hurrying.add(migration_id)

    def done(self, migration_id: str) -> None:
        """It hurries no more; nothing happens if it did not."""
        with self._changed:
            self._hurrying.discard(migration_id)
            if not self._hurrying:
                self._changed.notify_all()

    def give_way(self, migration_id: str) -> bool:
        """Wait as long as another one hurries, unless this one does itself; says whether the way is free."""
        with self._changed:
            if migration_id in self._hurrying:
                return True
            return self._changed.wait_for(lambda: not self._hurrying, LONGEST_S)
