"""The highest epoch that this host has seen, on disk, so that a restarted agent still refuses an older one.

An epoch grows with every conductor that takes a server over. It is compared per subject (a server, a port,
a migration). Epoch 0 marks an order that belongs to no migration, and is never compared.
"""

import json
import os
import threading
from pathlib import Path

from kedge.model.errors import StaleEpoch

# Far more than the servers and ports of one host; the ones used longest ago are forgotten.
_REMEMBERED = 10_000


class Epochs:
    """Thread-safe; `path` holds one JSON object from subject to epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._highest: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def admit(self, subject: str, epoch: int) -> None:
        """Let an order pass. Raises StaleEpoch when one with a higher epoch came before."""
        if epoch == 0:
            return
        with self._lock:
            highest = self._highest.get(subject, 0)
            if epoch < highest:
                raise StaleEpoch(
                    f"the order for {subject} has epoch {epoch}, and one with epoch {highest} came before: "
                    "another conductor has taken over"
                )
            if epoch > highest:
                self._highest.pop(subject, None)
                self._highest[subject] = epoch
                self._store()

    def _store(self) -> None:
        while len(self._highest) > _REMEMBERED:
            del self._highest[next(iter(self._highest))]
        write_atomically(self._path, json.dumps(self._highest))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a crash leaves the old or the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
