"""Drives operations: look, decide, act, and again. The migrations that it begins are driven like all others.

Nothing is remembered between two rounds, so a conductor may die at any instant and another goes on. A migration becomes
the operation's in the transaction that begins it, so nothing is begun twice.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog

from kedge.core.operation import Move, Outlook, Seen, Start, State, Tried, Tune, decide
from kedge.model.errors import BadRequest, CannotMigrate, Conflict, KedgeError, NotFound, StaleEpoch
from kedge.model.operation import Operation, OperationKind, Outcome
from kedge.store import in_words, now

from ..migrations.conductor import Conductor
from ..migrations.planner import SILENT
from ..migrations.running import RunningMigrations
from ..records.claims import Claims
from .driving import DrivenOperations, Pulse
from .operations import moves_of, reason_of, targets_of
from .records import OperationRecords
from .transition.hosts import TransitionHosts

log = structlog.get_logger()

POLL_S = 1.0
"""How often it is asked whether something of an operation has changed, if nothing says so: another process may drive
its migrations, and agents report to any."""

SHARE = 5
"""News is looked at at once, but looking takes no more than about one of so many parts of a processor's time."""

LOOK_S = 5.0
"""So often an operation is looked at that did not change: its fleet may have, or its window have opened."""

REST = 5
"""Where there is none, so many times as long passes between two looks for one that was begun by another process."""


class OperationConductor:
    """Drives the operations that it can claim, one round each after the other, in one thread."""

    def __init__(
        self, conductor: Conductor, records: OperationRecords, claims: Claims, *, poll_s: float = POLL_S
    ) -> None:
        self._conductor = conductor
        self._records = records
        self._driven = DrivenOperations(records.engine)
        self._claims = claims
        self._poll_s = poll_s
        self._epochs: dict[str, int] = {}
        # Of those in whose last round nothing was to be done: what they were like before it, and when that was.
        self._left: dict[str, tuple[Pulse | None, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="operations", daemon=True)

    def start(self) -> None:
        """Drive every operation that has not ended and that no other conductor drives, from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop driving; what is under way goes on when a conductor is there again."""
        self._stopping.set()
        self._conductor.tools.operation_news.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _drive(self) -> None:
        news = self._conductor.tools.operation_news
        while not self._stopping.is_set():
            at_rest = False
            began = time.thread_time()
            news.clear()
            try:
                at_rest = not self.look_at_all()
            except Exception as error:
                # Whatever is wrong, with the database or with Kedge, the next round looks at everything anew.
                log.warning("operations could not be driven, will look again", error=in_words(error))
            self._stopping.wait(min(SHARE * (time.thread_time() - began), self._poll_s))
            news.wait(REST * self._poll_s if at_rest else self._poll_s)

    def look_at_all(self) -> bool:
        """A round of each operation of which something has changed; whether there is any that has not ended."""
        unfinished = self._records.unfinished()
        for operation_id in self._claims.claim(unfinished) if unfinished else ():
            if self._has_changed(operation_id):
                self.round(operation_id)
        return bool(unfinished)

    def _has_changed(self, operation_id: str) -> bool:
        """Whether one of its migrations has ended, a person has changed it, or it was not looked at for a while."""
        known, looked_at = self._left.get(operation_id, (None, float("-inf")))
        if time.monotonic() - looked_at >= LOOK_S:
            return True
        return known is None or self._driven.pulse(operation_id) != known

    def round(self, operation_id: str) -> None:
        """Look, decide and act once."""
        began = time.monotonic()
        self._left.pop(operation_id, None)
        try:
            epoch = self._epochs.get(operation_id) or self._driven.take_over(operation_id)
            self._epochs[operation_id] = epoch
            before = self._driven.pulse(operation_id)
            this = Round(operation_id, epoch, self._conductor, self._records)
            ended = this.run()
            if not this.acted:
                self._left[operation_id] = (before, began)
            if this.advanced:
                self._conductor.tools.operation_news.set()
        except StaleEpoch as error:
            log.info("this conductor drives it no longer", operation=operation_id, why=str(error))
            ended = True
        except KedgeError as error:
            log.warning("an operation has to wait", operation=operation_id, error=str(error))
            ended = False
        if ended:
            self._left.pop(operation_id, None)
            self._epochs.pop(operation_id, None)
            self._claims.release(operation_id)


class Round:
    """One look at an operation, and what follows from it; `acted` says whether anything did.

    `advanced`: a host has got further, so there is more to be done at once.
    """

    def __init__(
        self, operation_id: str, epoch: int, conductor: Conductor, records: OperationRecords
    ) -> None:
        self._id, self._epoch = operation_id, epoch
        self._conductor, self._tools, self._records = conductor, conductor.tools, records
        self._driven = DrivenOperations(records.engine)
        self._migrations = RunningMigrations(records.engine)
        self._hosts = TransitionHosts(operation_id, epoch, conductor.tools, records.engine)
        self._ids: dict[str, tuple[str, int]] = {}
        self.acted = False
        self.advanced = False
        self._waiting: dict[str, Outlook] = {}

    def run(self) -> bool:
        """Look, decide, act; says whether it has ended. Raises StaleEpoch when somebody else drives it."""
        self._driven.harvest(self._id, self._epoch)
        operation = self._records.find(self._id)
        self._keep_settings(operation)
        for seen in self._looks(operation):
            decision = decide(seen)
            if operation.transition is not None:
                self._hosts.decide(operation, seen, decision)
            if not decision.without_place and not self._hosts.following.short:
                break
        self.acted = bool(decision.tune or decision.end or decision.start)
        for tune in decision.tune:
            self._tune(tune)
        for server_id in decision.end:
            self._end(server_id)
        for start in decision.start:
            with self._conductor.way.turn(self._id):
                self._begin(start, seen, operation.policy)
        if operation.transition is None:
            return self._show(operation, decision.outlooks, decision.outcome)
        self._hosts.act(operation, seen.fleet)
        self.acted, self.advanced = self.acted or self._hosts.is_awake, self._hosts.advanced
        outlooks = self._hosts.outlooks(operation, seen.fleet, decision)
        return self._show(operation, outlooks, self._hosts.following.outcome)

    def _keep_settings(self, operation: Operation) -> None:
        """A host that is drained receives no server; one that is restored does."""
        if operation.state == "aborting":
            return
        self._hosts.keep_settings(operation)
        if not operation.host:
            return
        disabled = self._tools.settings.of(operation.host).disabled is not None
        if operation.kind is OperationKind.DRAIN and not disabled:
            self._tools.settings.disable(operation.host, reason_of(operation))
        if operation.kind is OperationKind.RESTORE and disabled:
            self._tools.settings.enable(operation.host)

    def _looks(self, operation: Operation) -> Iterator[Seen]:
        """Looks at ever more of the fleet: the first that has a place for all servers will do."""
        ours = {each for item in operation.items for each in item.migrations}
        under_way = self._migrations.all()
        self._ids = {each.server_id: (migration_id, epoch) for each, epoch, migration_id in under_way}
        moving = set(self._ids)
        to_place = self._tools.servers.some({item.server_id for item in operation.items} - moving)
        planned: tuple[Move, ...] = ()
        if operation.transition is None:
            planned = moves_of(
                operation.kind,
                operation.host,
                operation.targets,
                [(item.server_id, item.source, item.hosts) for item in operation.items],
            )
        intents = self._driven.intents(operation.id)
        tried = {item.server_id: tuple(Tried(**each) for each in item.tried) for item in operation.items}
        running = tuple(replace(each, ours=migration_id in ours) for each, _, migration_id in under_way)
        emptying = frozenset({operation.host} if operation.kind is OperationKind.DRAIN else ())
        limits, ahead = operation.limits, self._driven.ahead(operation)
        now_s = now(self._records.engine).timestamp()
        its_hosts = [each.host for each in operation.hosts]
        its_hosts += {item.planned for item in operation.items if item.planned is not None}
        for fleet in self._conductor.places.fleets(
            to_place, limits, targets_of(planned), besides=moving, with_hosts=its_hosts
        ):
            moves = tuple(
                replace(each, tried=tried[each.server_id], left=intents.left.get(each.server_id))
                for each in planned or self._hosts.moves(operation, fleet)
            )
            yield Seen(fleet, moves, running, limits, emptying, intents.paused, intents.abort, ahead, now_s)

    def _tune(self, tune: Tune) -> None:
        try:
            self._tools.migrations.change(
                self._ids[tune.server_id][0], lambda options: replace(options, share_mib=tune.bandwidth_mib)
            )
        except (Conflict, NotFound) as error:
            log.info("a migration ended by itself", error=str(error))

    def _end(self, server_id: str) -> None:
        try:
            self._tools.migrations.request_abort(self._ids[server_id][0])
        except (Conflict, NotFound) as error:
            log.info("a migration ended by itself", error=str(error))

    def _begin(self, start: Start, seen: Seen, policy: str | None) -> None:
        try:
            server = self._tools.servers.find(start.server_id)
        except NotFound:
            return
        if server.host != seen.fleet.servers[server.id].host:
            return
        try:
            chosen = self._tools.policies.of(server, policy)
        except BadRequest as error:
            refused = Tried(start.destination, str(error), failed=False)
            self._driven.refuse(self._id, self._epoch, server.id, refused)
            return
        plan, room = self._tools.planner.think(server, start.destination, chosen)
        silent = tuple(str(each) for each in plan.obstacle_details if each.code in SILENT)
        if silent:  # That refuses nothing for good: an agent may be started anew just now.
            self._waiting[server.id] = Outlook(State.WAITING, silent)
            return
        if not plan.possible:
            refused = Tried(start.destination, "; ".join(plan.obstacles), failed=False)
            self._driven.refuse(self._id, self._epoch, server.id, refused)
            return
        options = replace(chosen, share_mib=start.bandwidth_mib)
        claim = self._driven.claim(self._id, self._epoch, server)
        try:
            self._conductor.begin(server, start.destination, options, room, claim)
        except StaleEpoch:
            raise
        except (Conflict, CannotMigrate) as error:  # somebody was quicker; the next round sees what is now
            log.info("a server is not moved yet", server=server.id, why=str(error))

    def _show(self, operation: Operation, outlooks: Mapping[str, Outlook], outcome: Outcome | None) -> bool:
        shown = {**outlooks, **self._waiting}
        ended = self._driven.show(operation, self._epoch, shown, outcome)
        if ended:
            log.info("an operation has ended", operation=self._id, outcome=outcome)
        return ended
