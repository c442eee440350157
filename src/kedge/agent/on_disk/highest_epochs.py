"""The highest epoch that this host has seen, on disk, so that a restarted agent still refuses an older one.

An epoch grows with every conductor that takes a server over. It is compared per subject (a server, a port,
a migration). Epoch 0 marks an order that belongs to no migration, and is never compared.
"""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from kedge.agent.on_disk.json_file import read_object, write_atomically
from kedge.model.errors import StaleEpoch

# Far more than the servers and ports of one host; the ones used longest ago are forgotten.
_REMEMBERED = 10_000


class Epochs:
    """Thread-safe; `path` holds one JSON object from subject to epoch."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._highest: dict[str, int] = read_object(path)

    def admit(self, subject: str, epoch: int) -> None:
        """Let an order pass; as `admit_all`, for one subject."""
        self.admit_all([subject], epoch)

    def admit_all(self, subjects: Sequence[str], epoch: int) -> None:
        """Let an order pass for all of its subjects, or for none.

        Raises StaleEpoch when one with a higher epoch came before for any of them. An epoch that can't be written
        down is not let in, for a restarted agent would not know of it. Raises HostFailure.
        """
        if epoch == 0:
            return
        with self._lock:
            for subject in subjects:
                highest = self._highest.get(subject, 0)
                if epoch < highest:
                    raise StaleEpoch(
                        f"the order for {subject} has epoch {epoch}, and one with epoch {highest} came before: "
                        "another conductor has taken over"
                    )
            higher = dict.fromkeys((each for each in subjects if epoch > self._highest.get(each, 0)), epoch)
            if higher:
                self._highest = self._stored(higher)

    def _stored(self, higher: dict[str, int]) -> dict[str, int]:
        later = {known: each for known, each in self._highest.items() if known not in higher} | higher
        later = dict(list(later.items())[-_REMEMBERED:])
        write_atomically(self._path, json.dumps(later))
        return later
