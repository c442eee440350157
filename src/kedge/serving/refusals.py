"""The log of who was turned away: a flood makes one line now and then."""

import time
from collections.abc import Callable

import structlog

_EVERY_S = 10.0

_log = structlog.get_logger(__name__)


class Refusals:
    """Of one listener. The reasons are a handful of fixed sentences, so what is kept is bounded."""

    def __init__(self, listener: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener = listener
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, peer: str, reason: str) -> None:
        """Log it, unless something of the same reason was logged a moment ago; then it is counted."""
        now = self._clock()
        if now - self._said.get(reason, float("-inf")) < _EVERY_S:
            self._unsaid[reason] = self._unsaid.get(reason, 0) + 1
            return
        self._said[reason] = now
        _log.warning(
            "refused", listener=self._listener, peer=peer, reason=reason, more=self._unsaid.pop(reason, 0)
        )
