"""The hosts of transitions in the database: the stage of each, and what came of the ones before."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, object_session

from kedge.model.errors import Conflict
from kedge.model.host import Host
from kedge.model.host_facts import MemoryFacts
from kedge.model.server import Server
from kedge.model.transition import CommandRun, CommandState, Stage, Transition
from kedge.store import now, transaction
from kedge.store.tables import OperationHostRow, OperationRow, RewiringRow

from ...records.rooms import lock_promises, refuse_plan
from ..rows import host_of, owned, row_of
from .ways import Ways

MOST_LINES = 100
"""So many lines of a host's log are kept, the last ones."""


class TransitionRecords:
    """What a conductor writes down of the hosts; with an older epoch than the newest, all but one raise StaleEpoch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(
        self,
        operation_id: str,
        epoch: int,
        host: Host,
        stage: Stage,
        what: str,
        *,
        planned: Mapping[str, str] = MappingProxyType({}),
        memory: Mapping[str, MemoryFacts] = MappingProxyType({}),
    ) -> None:
        """The host reaches another stage; its servers may try everything again.

        Those in `planned` are promised room as by `OperationRecords.add`.
        """
        with transaction(self._engine) as session:
            if planned:
                lock_promises(session)
                refuse_plan(session, planned, memory)
            row, its = _of(session, operation_id, epoch, host.name)
            if its.stage == Stage.QUEUED.value:
                its.before = [asdict(each) for each in host.backends]
            its.stage, its.why = stage.value, ""
            _forget_tries(row, host.name)
            for item in row.items:
                item.planned = planned.get(item.server_id, item.planned)
            _log(its, now(self._engine), what)

    def stop(self, operation_id: str, epoch: int, host: str, trouble: str) -> None:
        """The host is in trouble."""
        with transaction(self._engine) as session:
            _, its = _of(session, operation_id, epoch, host)
            its.trouble, its.why = trouble, ""
            _log(its, now(self._engine), f"stopped: {trouble}")

    def waiting(self, operation_id: str, epoch: int, whys: Mapping[str, str]) -> None:
        """What hosts wait for."""
        with transaction(self._engine) as session:
            for its in owned(session, operation_id, epoch).hosts:
                if its.why != whys.get(its.host, ""):
                    its.why = whys.get(its.host, "")

    def halt(self, operation_id: str, epoch: int) -> None:
        """Nothing goes on until a person resumes it."""
        with transaction(self._engine) as session:
            row = owned(session, operation_id, epoch)
            row.paused, row.updated_at = True, now(self._engine)

    def claim_rewiring(self, operation_id: str, epoch: int, server: Server) -> Callable[[Session, str], None]:
        """Makes a rewiring the operation's own, in the transaction that begins it, if it is still wanted then."""

        def within(session: Session, rewiring_id: str) -> None:
            row = owned(session, operation_id, epoch)
            if row.paused or row.abort:
                raise Conflict(f"Server {server.name} is not rewired: somebody paused it meanwhile.")
            next(item for item in row.items if item.server_id == server.id).rewiring_id = rewiring_id

        return within

    def command_begins(self, operation_id: str, epoch: int, host: str, run: CommandRun, name: str) -> None:
        """A command is about to be run. It is written down before, so that it is never run twice."""
        with transaction(self._engine) as session:
            _, its = _of(session, operation_id, epoch, host)
            its.command = _stored(run)
            _log(its, now(self._engine), f"`{name}` is run on {run.on}")

    def command_ended(self, operation_id: str, host: str, run: CommandRun) -> CommandRun | None:
        """How a command ended, whoever drives the operation now; what was written down first stays. Gives that."""
        with transaction(self._engine) as session:
            row = row_of(session, operation_id)
            its = next(each for each in row.hosts if each.host == host)
            before = host_of(its).command
            if before is None or before.id != run.id or before.state is not CommandState.RUNNING:
                return before
            its.command, row.updated_at = _stored(run), now(self._engine)
            said = f": {run.output}" if run.output else ""
            _log(its, now(self._engine), f"the command {run.why or 'succeeded'}{said}")
            return run


def host_rows(operation_id: str, transition: Transition, ways: Ways, at: datetime) -> list[OperationHostRow]:
    """The rows of a new transition's hosts."""
    rows = []
    for number, host in enumerate(transition.hosts):
        row = OperationHostRow(operation_id=operation_id, host=host, position=number)
        row.stage, row.in_place, row.log = Stage.QUEUED.value, host in ways.in_place, []
        if host in ways.why:
            _log(row, at, f"by moves: {ways.why[host]}")
        rows.append(row)
    return rows


def forget_trouble(row: OperationRow, at: datetime) -> None:
    """A person has looked after the hosts in trouble: each is tried again where it stopped, its command too."""
    _forget_rewirings(row)
    for its in row.hosts:
        if its.trouble is None:
            continue
        its.trouble = None
        if its.command and its.command["state"] != CommandState.RUNNING.value:
            its.command = None
        _forget_tries(row, its.host)
        _log(its, at, "resumed")


def _of(session: Session, operation_id: str, epoch: int, host: str) -> tuple[OperationRow, OperationHostRow]:
    row = owned(session, operation_id, epoch)
    row.updated_at = now(session.get_bind())
    return row, next(each for each in row.hosts if each.host == host)


def _forget_tries(row: OperationRow, host: str) -> None:
    for item in row.items:
        if item.source == host:
            item.tried, item.left = [], None


def _forget_rewirings(row: OperationRow) -> None:
    """Those that have ended: servers that are still in the old switch are then rewired again."""
    session = object_session(row)
    own = {item.rewiring_id: item for item in row.items if item.rewiring_id is not None}
    if session is None or not own:
        return
    ended = select(RewiringRow.id).where(RewiringRow.id.in_(own), RewiringRow.finished_at.is_not(None))
    for rewiring_id in session.scalars(ended):
        own[rewiring_id].rewiring_id = None


def _log(row: OperationHostRow, at: datetime, what: str) -> None:
    row.log = [*row.log, {"at": at.isoformat(), "what": what}][-MOST_LINES:]


def _stored(run: CommandRun) -> dict[str, Any]:
    ended = run.ended_at.isoformat() if run.ended_at else None
    return {**asdict(run), "state": run.state.value, "ended_at": ended}
