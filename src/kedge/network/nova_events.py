"""Telling Nova of VIFs: a thread that empties the outbox, in order, at least once, whatever happens meanwhile.

An event stays in the outbox until Nova took it, so neither a Nova that is away nor an end of this process loses any.
One that was taken just before either of them ended may come a second time; Nova does not mind. What nobody took for
a day is of no use to anybody, and is dropped with a line in the log.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from kedge.config import EventsConfig
from kedge.model.errors import Unreachable
from kedge.openstack.nova import Nova, NovaAt, NovaOf, Refused, deliver, is_for_nova
from kedge.store import in_words, now, outbox, reading, transaction
from kedge.store.outbox import Event

from .local.work import Clock

BATCH = 100
KEPT = timedelta(days=1)

_PRUNE_EVERY = timedelta(minutes=5)
_LONGEST_WAIT_S = 60.0

_log = structlog.get_logger()

Claim = Callable[[], bool]
"""Says whether this process, of all that share the database, is the one to work on the outbox."""


def nova_of(config: EventsConfig) -> Nova | None:
    """The Nova that is to be told, if any. Raises BadRequest for a cloud that is not in clouds.yaml."""
    if config.nova_cloud:
        return NovaOf(config.nova_cloud)
    return NovaAt(config.nova_url) if config.nova_url else None


class NovaEvents:
    """Posts events to Nova, if there is one, and removes old ones.

    Args:
        engine: of the database with the outbox.
        nova: where to send events; None for nowhere.
        claim: whether it is this process that does it.
        interval_s: events are gathered for so long, then sent together.
        clock: gives the present time; the database's own, unless tests put another in.
    """

    def __init__(
        self,
        engine: Engine,
        nova: Nova | None,
        claim: Claim = lambda: True,
        *,
        interval_s: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._nova = nova
        self._claim = claim
        self._interval_s = interval_s
        self._clock = clock or partial(now, engine)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nova-events", daemon=True)
        self._pruned_at = self._clock() - _PRUNE_EVERY
        self._failures = 0

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request that is under way; what is not sent stays for the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s()):
            try:
                if self._claim():
                    self._work()
                self._failures = 0
            except (Unreachable, Refused, SQLAlchemyError) as error:
                self._failures += 1
                _log.warning(
                    "events not sent, they are kept", reason=in_words(error), failures=self._failures
                )
            except Exception:
                self._failures += 1
                _log.exception("events not sent, they are kept", failures=self._failures)

    def _work(self) -> None:
        self._prune()
        if self._nova is not None:
            while self.send_some(self._nova) == BATCH and not self._stop.is_set():
                pass

    def _pause_s(self) -> float:
        return max(self._interval_s, min(_LONGEST_WAIT_S, 2.0 ** min(self._failures, 10) - 1))

    def send_some(self, nova: Nova) -> int:
        """Send what there is, up to BATCH; returns how many events left the outbox. Raises Unreachable, Refused."""
        with reading(self._engine) as session:
            events = outbox.unsent(session, BATCH)
        # No transaction is open while Nova takes its time.
        refused = deliver(nova, [event for event in events if is_for_nova(event)])
        for number, why in refused.items():
            _log.warning("Nova does not want an event", number=number, reason=why)
        self._mark(events)
        return len(events)

    def _mark(self, events: Sequence[Event]) -> None:
        if events:
            with transaction(self._engine) as session:
                outbox.mark_sent(session, [event.number for event in events], self._clock())

    def _prune(self) -> None:
        at = self._clock()
        if at - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = at
        with transaction(self._engine) as session:
            gone, lost = outbox.prune(session, at - KEPT)
        if lost and self._nova is not None:
            _log.error("events that Nova did not take for a day are dropped", dropped=lost, removed=gone)
