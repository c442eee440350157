"""The conductor: observe, decide, act, and again, until a migration has ended.

Each migration is driven by one thread. Nothing is remembered between two rounds that could not be looked up
again, so a conductor may die at any instant and another, or the same one after its start, goes on.
"""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

import structlog
from sqlalchemy.orm import Session

from kedge.core.migration import Act, Action, Intent, Observation, Role, decide
from kedge.core.placement import candidates, left_out, reasons
from kedge.model.domain import DomainState
from kedge.model.errors import CannotMigrate, KedgeError, StaleEpoch, Unreachable
from kedge.model.server import Migration, MigrationOptions, Phase, Plan, Server
from kedge.store import checkpoint, in_words, is_trouble

from ..placement.places import Places
from ..records.claims import Claims
from ..records.plain_records import Noted
from ..records.rooms import Room
from .actor import Actor, Tools
from .looker import Looker
from .next_look import NextLook, next_look
from .planner import USUAL
from .right_of_way import RightOfWay
from .transfer_pace import TransferPace

log = structlog.get_logger()

WAIT_MS = 150
"""How long a look waits for something to change while memory is copied: an abort is noticed as soon."""

SHOW_S = 0.4
"""How often progress is shown meanwhile, and when the downtime limit has changed."""

PACE_MS = 10
LONGEST_WAIT_MS = 5000
"""With many migrations each look waits longer: for so long for each of them, and at most for this long. What happens on
the host ends the wait at once; progress is shown later then, and the wish for an abort is seen later."""

WHILE_S = 0.02
"""Who waited longer between looking and acting sees whether it drives the migration still."""

POLL_S = 1.0
"""A migration whose conductor died is taken up by another within this time, once its claim is free."""

SWITCH_S = 0.001
"""A thread that has news of a pause gets the interpreter from another within this time; Python's own is 5 ms."""

CHECKPOINT_S = 1.0
"""So often what was committed is moved into the database's file, lest a switch of bindings have to do it."""

LONGEST_PAUSE_S = 2.0
"""Between two tries of something that fails, or two looks at a host that does not answer."""


TRIED = 8
"""So many hosts are looked for when nobody has chosen: one to go to, and those that are tried if it fails."""


@dataclass(frozen=True)
class Choice:
    """A host for a server: the plan of going there, the room that it saw, and what the host's place is due to."""

    plan: Plan
    room: Room
    weights: Mapping[str, float] = field(default_factory=dict)


class Conductor:
    """Drives the migrations that it can claim; any number of conductors may share a database.

    Args:
        tools: what migrations are done with.
        claims: which migrations are this conductor's.
        poll_s: how often it looks for migrations that nobody drives.
        tidy: called so often, for what is done now and then.
    """

    def __init__(
        self,
        tools: Tools,
        claims: Claims,
        *,
        poll_s: float = POLL_S,
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self.tools = tools
        self.places = Places(tools.network, tools.agents, tools.rooms)
        self._tidy = tidy
        self._claims = claims
        self._poll_s = poll_s
        self._stopping = threading.Event()
        self._asked = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self.way = RightOfWay()
        self._watcher = threading.Thread(target=self._watch, name="conductor", daemon=True)
        self._checkpoints = threading.Thread(target=self._checkpoint, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Drive every migration that has not ended and that no other conductor drives, from now on."""
        sys.setswitchinterval(SWITCH_S)
        self._watcher.start()
        self._checkpoints.start()

    def stop(self) -> None:
        """Stop driving, at the next look. Nothing is rolled back: what is under way is taken up again later."""
        self._stopping.set()
        self._asked.set()
        for thread in (self._watcher, self._checkpoints):
            if thread.is_alive():
                thread.join(timeout=10)
        for thread in list(self._threads.values()):
            thread.join(timeout=10)
        self._claims.close()

    def migrate(self, server: Server, hosts: Sequence[str], options: MigrationOptions) -> Migration:
        """Begin a migration to the first of these hosts that can take the server, or with none to any host.

        The others are tried in turn when it fails. Raises CannotMigrate with everything that is in its way,
        before anything is made.
        """
        choices = self.choices(server, hosts, options, most=TRIED)
        plans = [each.plan for each in choices]
        destinations = candidates(plans)
        if not destinations:
            where = " or ".join(plan.destination for plan in plans) or "another host: there is none"
            raise CannotMigrate(
                f"Server {server.name} can't move from {server.host} to {where}", reasons(plans)
            )
        first, *others = destinations
        rooms = {each.plan.destination: each.room for each in choices if each.plan.possible}
        migration = self.tools.migrations.add(server, first, options, others, rooms=rooms)
        self._asked.set()
        return migration

    def begin(
        self,
        server: Server,
        destination: str,
        options: MigrationOptions,
        room: Room,
        within: Callable[[Session, str], None],
    ) -> None:
        """Begin a migration that was planned; `within` is done in the same transaction."""
        self.tools.migrations.add(server, destination, options, rooms={destination: room}, within=within)
        self._asked.set()

    def choices(
        self,
        server: Server,
        hosts: Sequence[str] = (),
        options: MigrationOptions = USUAL,
        *,
        most: int | None = None,
    ) -> list[Choice]:
        """What would happen for each of these hosts in turn; without any, for all others.

        Then placement orders them, the best first. Those that it leaves out come last, each with the reasons; the
        others are planned, until `most` have been found to which the server can go.
        """
        if hosts:
            return [Choice(*self.tools.planner.think(server, host, options)) for host in dict.fromkeys(hosts)]
        placement = self.places.place(server, most=most)
        found: list[Choice] = []
        for ranked in placement.ranked:
            if most is not None and sum(each.plan.possible for each in found) >= most:
                break
            plan, room = self.tools.planner.think(server, ranked.host, options)
            found.append(Choice(plan, room, ranked.weight.parts))
        return found + [Choice(left_out(server, each), Room()) for each in placement.left_out]

    def _watch(self) -> None:
        while not self._stopping.is_set():
            self._asked.clear()
            try:
                for migration_id in self._claims.claim(self.tools.migrations.unfinished()):
                    if migration_id not in self._threads:
                        self._spawn(migration_id)
                self._tidy()
            except Exception as error:
                # Whatever is wrong with the database, the conductor must be there when it is back.
                log.warning("can't look for migrations, will look again", error=in_words(error))
                self._stopping.wait(self._poll_s)
            self._asked.wait(self._poll_s)

    def _checkpoint(self) -> None:
        while not self._stopping.wait(CHECKPOINT_S):
            try:
                checkpoint(self.tools.migrations.engine)
            except Exception as error:
                log.warning("the database could not be written to its file yet", error=in_words(error))

    def _spawn(self, migration_id: str) -> None:
        thread = threading.Thread(
            target=self._drive, args=(migration_id,), name=f"migration-{migration_id[:8]}", daemon=True
        )
        self._threads[migration_id] = thread
        thread.start()

    def _drive(self, migration_id: str) -> None:
        while not self._stopping.is_set():
            try:
                with self.way.turn(migration_id):
                    drive = Drive(
                        migration_id, self.tools, self._stopping, lambda: len(self._threads), self.way
                    )
                drive.run()
                break
            except StaleEpoch as error:
                log.info("this conductor drives it no longer", migration=migration_id, why=str(error))
                break
            except Exception as error:
                # The database may be gone for a while, or there is a mistake in Kedge. What is wanted is in
                # the database and what is there is on the hosts, so it is safe to look again.
                if is_trouble(error):
                    why = "the database does not do its work; the drive starts anew"
                    log.warning(why, migration=migration_id, error=in_words(error))
                else:
                    log.exception("the drive broke off and starts anew", migration=migration_id)
                self._stopping.wait(LONGEST_PAUSE_S)
        try:
            self._claims.release(migration_id)
        except Exception as error:
            log.warning("a claim could not be given back", migration=migration_id, error=str(error))
        self._threads.pop(migration_id, None)
        self._asked.set()  # where it failed, another one may have begun with it
        self.tools.operation_news.set()


def longest_look_ms(drives: int) -> int:
    """How long a look waits for something to change on the source, when so many migrations are driven at once."""
    return min(max(WAIT_MS, PACE_MS * drives), LONGEST_WAIT_MS)


class Drive:
    """One conductor's work on one migration."""

    def __init__(
        self,
        migration_id: str,
        tools: Tools,
        stopping: threading.Event,
        drives: Callable[[], int] = lambda: 1,
        way: RightOfWay | None = None,
    ) -> None:
        """`drives` says how many migrations this conductor drives at once; they share one right of `way`."""
        self._tools = tools
        self._drives = drives
        self._way = way or RightOfWay()
        self._stopping = stopping
        self._id = migration_id
        self._epoch = tools.migrations.take_over(migration_id)
        self._migration = tools.migrations.find(migration_id)
        self._looker = Looker(self._migration, tools.network, tools.agents)
        self._actor = Actor(self._migration, self._epoch, self._looker, tools)
        self._pace = TransferPace(self._migration, self._epoch, tools)
        self._shown_at, self._shown_limit_ms = float("-inf"), self._pace.limit_ms
        self._tries = 0
        self._log = log.bind(migration=migration_id, epoch=self._epoch)

    def run(self) -> None:
        """Until the migration has ended, somebody else drives it, or the conductor is stopped."""
        self._looker.when_paused = self._hurry
        try:
            self._run()
        finally:
            self._way.done(self._id)

    def _run(self) -> None:
        self._tools.migrations.write(self._id, self._epoch, Noted(Phase.PREFLIGHT))
        previous: Action | None = None
        done: Action | None = None  # what was done since the last look, at the first try
        seen: Observation | None = None
        while not self._stopping.is_set():
            try:
                seen = self._look(seen, previous, done)
            except Unreachable as error:  # an external network service; a host that is away is seen as such
                self._log.warning("can't look, will look again", error=str(error))
                self._pause()
                continue
            if previous is None and seen.intent.orders:
                self._pace.inherit()
            action = decide(seen)
            if action != previous:
                self._log.info("decided", act=action.act, on=action.role, why=action.why)
                self._tries = 0
            could = self._do(action, seen, repeated=action == previous)
            if seen.source.domain is not DomainState.SWITCHOVER or action.act is Act.ACTIVATE:
                self._way.done(self._id)
            if could and action.act is Act.FINISH:
                return
            done = action if could and action != previous else None
            previous = action

    def _hurry(self) -> None:
        """The VM stands still, which is news once: another look that finds it so waits for a host."""
        self._looker.when_paused = lambda: None
        self._way.hurry(self._id)

    def _turn(self, seen: Observation | None) -> AbstractContextManager[None]:
        """For the next step. It needs none while memory is copied, as the pause that may come is seen by who looks."""
        if seen is not None and seen.source.transferring:
            return nullcontext()
        return self._way.turn(self._id, moved=seen is not None and seen.destination.runs)

    def _look(self, before: Observation | None, previous: Action | None, done: Action | None) -> Observation:
        how = NextLook()
        if before is not None and previous is not None:
            how = next_look(before, previous, done=done is not None, wait_ms=longest_look_ms(self._drives()))
        with nullcontext() if how.wait_ms else self._turn(before):
            seen = self._looker.look(self._intent, **vars(how))
        if how.wait_on is None or seen.source.transferring or not seen.source.runs:
            return seen
        # The VM stays where it is: what it lost in the meantime counts from now on.
        with self._turn(seen):
            return self._looker.look(self._intent, check_vifs=(Role.SOURCE,))

    def _intent(self) -> Intent:
        """What is wanted now. Raises StaleEpoch."""
        return self._tools.migrations.intent(self._id, self._epoch)

    def _do(self, action: Action, seen: Observation, *, repeated: bool) -> bool:
        """Act; says whether it could be done."""
        if action.act is Act.WAIT:
            if seen.source.transferring:
                self._follow(seen)
            else:
                self._pause()
            return True
        if repeated:
            self._pause()
        try:
            began = time.monotonic()
            with self._turn(seen):
                if time.monotonic() - began > WHILE_S:
                    self._intent()  # while it waited, another conductor may have taken over
                self._actor.act(action)
        except StaleEpoch:
            # Either the database or an agent knows of a newer conductor. The database has the last word.
            self._intent()
            self._pause()
            return False
        except KedgeError as error:
            self._log.warning(
                "could not be done, will look again", act=action.act, on=action.role, error=str(error)
            )
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        self._stopping.wait(min(0.05 * 2 ** min(self._tries, 10), LONGEST_PAUSE_S))
        self._tries += 1

    def _follow(self, seen: Observation) -> None:
        """While memory is copied: show how far it is, and see to it that it ends."""
        view = self._looker.gathered.views.get(Role.SOURCE)
        if view is None or view.progress is None:
            return
        due = time.monotonic() - self._shown_at >= SHOW_S or self._pace.limit_ms != self._shown_limit_ms
        if due and not self._way.is_needed:  # else it is shown at another look
            self._shown_at, self._shown_limit_ms = time.monotonic(), self._pace.limit_ms
            shown = {"downtime_limit_ms": self._pace.limit_ms, "seen_ns": time.time_ns()}
            self._tools.migrations.write(self._id, self._epoch, progress=asdict(view.progress) | shown)
        if view.domain is not DomainState.RUNNING:
            return
        self._pace.heed(seen.intent, view.progress)
