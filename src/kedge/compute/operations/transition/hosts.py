"""The hosts of a transition in one round: what is seen of them, and what is done with each."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from kedge.core.operation import Decision, Move, Outlook, Seen
from kedge.core.operation.host_seen import Act, Advance, HostSeen, Step, Wired
from kedge.core.operation.stages import advance, moves, outlooks, stands
from kedge.core.placement import Fleet
from kedge.model.errors import KedgeError, StaleEpoch, Unreachable
from kedge.model.host import Host
from kedge.model.operation import Operation
from kedge.model.transition import CommandRun, Stage, Transition, TransitionHost, Way, reported_in_words

from ...migrations.actor import Tools
from ...records.rooms import RoomTaken
from ..probe import Probe, one_of_each
from .records import TransitionRecords
from .rewirings import TransitionRewirings

log = structlog.get_logger()

_ENTERED = {
    Stage.EMPTYING: "its servers have to leave",
    Stage.CONVERTING: "it is empty, and has to be changed",
    Stage.VERIFYING: "its agent reports what is wanted",
    Stage.DONE: "its servers are back",
}


_ENTERED_IN_PLACE = _ENTERED | {Stage.CONVERTING: "its agent needs the new backend beside what it has"}


class TransitionHosts:
    """What a round does with the hosts, for whoever drives the operation with this epoch."""

    def __init__(self, operation_id: str, epoch: int, tools: Tools, engine: Engine) -> None:
        self._id, self._epoch = operation_id, epoch
        self._tools = tools
        self._records = TransitionRecords(engine)
        self._rewirings = TransitionRewirings(operation_id, epoch, tools, engine)
        self._seen: tuple[HostSeen, ...] = ()
        self.following = Advance()
        self.advanced = False
        """Some host has reached another stage."""

    def keep_settings(self, operation: Operation) -> None:
        """A host that is emptied, changed and tried receives no server; one that gets its servers back does.

        Nor does one that is changed in place, until new ports are bound by the new backend.

        This is done before a look, so that nothing that is not seen then can come to a host that is emptied.
        """
        under_way = [each for each in operation.hosts if each.stage.is_under_way]
        settings = self._tools.settings.all() if under_way else {}
        for each in under_way:
            disabled = each.host in settings and settings[each.host].disabled is not None
            if each.stage.takes_nobody and not disabled:
                self._tools.settings.disable(each.host, f"changed by operation {operation.id}")
            elif not each.stage.takes_nobody and disabled:
                self._tools.settings.enable(each.host)

    def moves(self, operation: Operation, fleet: Fleet) -> tuple[Move, ...]:
        """Which servers have to go where now; none of an operation that is no transition."""
        if operation.transition is None:
            return ()
        self._seen = tuple(self._host_seen(operation, each, fleet) for each in operation.hosts)
        return moves(operation.transition, self._seen, homes_of(operation), fleet)

    def decide(self, operation: Operation, seen: Seen, decided: Decision) -> None:
        """Say in `following` what is done with each host, as they were seen for `moves`."""
        self.following = advance(_wanted(operation), self._seen, homes_of(operation), seen, decided)

    def act(self, operation: Operation, fleet: Fleet) -> None:
        """Do it. Raises StaleEpoch."""
        waiting = {}
        for each in self._seen:
            step = self.following.steps[each.name]
            if step.act is Act.WAIT:
                waiting[each.name] = step.why
            else:
                self._do(operation, each, step, fleet)
        self._records.waiting(self._id, self._epoch, waiting)
        if self.following.halt:
            self._records.halt(self._id, self._epoch)
        if self.following.outcome is not None:
            self._clean(operation)

    @property
    def is_awake(self) -> bool:
        """Something was done with a host, or its agent may report what is wanted, or a rewiring end, at any moment."""
        acts = {each.act for each in self.following.steps.values()}
        waits = any(
            each.stage in {Stage.CONVERTING, Stage.REWIRING} and each.trouble is None for each in self._seen
        )
        return waits or bool(acts - {Act.WAIT})

    def outlooks(self, operation: Operation, fleet: Fleet, decided: Decision) -> Mapping[str, Outlook]:
        """How each server stands."""
        return outlooks(self._seen, homes_of(operation), fleet, decided)

    def _host_seen(self, operation: Operation, each: TransitionHost, fleet: Fleet) -> HostSeen:
        host = fleet.hosts[each.host].host if each.host in fleet.hosts else Host(each.host, alive=False)
        command, ago_s = each.command, 0.0
        if command is not None:
            now = self._tools.commands.seen(each.host, command)
            if now != command:
                command = self._records.command_ended(self._id, each.host, now)
            if command is not None and command.ended_at is not None:
                ago_s = (datetime.now(UTC) - command.ended_at).total_seconds()
        found = HostSeen(host, each.stage, each.trouble, each.before, command, ago_s, each.in_place)
        if each.stage is not Stage.REWIRING:
            return found
        backend = _wanted(operation).to_backend
        off = self._rewirings.off(each.host)
        servers = self._rewirings.seen(operation, each.host, backend, fleet, off or frozenset())
        return replace(found, servers=servers, silent=off is None)

    def _do(self, operation: Operation, each: HostSeen, step: Step, fleet: Fleet) -> None:
        try:
            self._carry_out(operation, each, step, fleet)
            self.advanced = self.advanced or step.act in {Act.ENTER, Act.TRY}
        except StaleEpoch:
            raise
        except RoomTaken as error:
            log.info("a host has to wait", operation=self._id, host=each.name, why=str(error))
        except Unreachable as error:
            log.info(
                "a host is not reached, will try again", operation=self._id, host=each.name, error=str(error)
            )
        except KedgeError as error:
            self._stop(operation, each, str(error), fleet)

    def _carry_out(self, operation: Operation, each: HostSeen, step: Step, fleet: Fleet) -> None:
        if step.act is Act.ENTER and step.stage is not None:
            what = f"{step.stage}: {_entered(each, step.stage, fleet)}"
            memory = {name: fleet.hosts[name].memory for _, name in step.planned}
            self._records.enter(
                self._id,
                self._epoch,
                each.host,
                step.stage,
                what,
                planned=dict(step.planned),
                memory=memory,
            )
        elif step.act is Act.RUN:
            self._run(each, _wanted(operation).run)
        elif step.act is Act.TRY:
            self._try(operation, each, fleet)
        elif step.act is Act.REWIRE:
            self._rewirings.begin(step.servers, each.name, _wanted(operation).to_backend)
        elif step.act is Act.TAKE_BACK:
            self._rewirings.take_back(operation, step.servers)
        elif step.act is Act.STOP:
            self._stop(operation, each, step.why, fleet)

    def _stop(self, operation: Operation, each: HostSeen, why: str, fleet: Fleet) -> None:
        state = stands(each, homes_of(operation), fleet)
        log.warning("a host is in trouble", operation=self._id, host=each.name, why=why)
        self._records.stop(
            self._id,
            self._epoch,
            each.name,
            f"{why.rstrip('.')}. So {state}. Mend it, then `kedge operations resume {self._id[:8]}`.",
        )

    def _run(self, each: HostSeen, name: str) -> None:
        host = each.name

        def told(run: CommandRun) -> None:
            self._records.command_ended(self._id, host, run)
            self._tools.operation_news.set()

        self._tools.commands.begin(
            name,
            host,
            Way.IN_PLACE if each.in_place else Way.MOVES,
            note=lambda run: self._records.command_begins(self._id, self._epoch, host, run, name),
            told=told,
        )

    def _try(self, operation: Operation, each: HostSeen, fleet: Fleet) -> None:
        host = each.host
        mine = [
            server_id
            for server_id, home in homes_of(operation).items()
            if home == host.name and server_id in fleet.servers
        ]
        networks = one_of_each(network for one in mine for _, network in fleet.servers[one].nics)
        self._probe(host.name).work(host, _wanted(operation), networks)
        tried = ", ".join(network.name or network.id for network in networks)
        what = f"a port worked on network {tried}" if tried else "it has no server, so no port was tried"
        following = Stage.REWIRING if each.in_place else Stage.RETURNING
        self._records.enter(
            self._id, self._epoch, host, following, f"{following}: {reported_in_words(host)}; {what}"
        )

    def _clean(self, operation: Operation) -> None:
        """Remove what a try that broke off has left."""
        for each in operation.hosts:
            if each.stage is Stage.VERIFYING:
                try:
                    self._probe(each.host).remove()
                except KedgeError as error:
                    log.warning("a port that was tried is left", host=each.host, error=str(error))

    def _probe(self, host: str) -> Probe:
        return Probe(self._tools.network, self._tools.agents.agent(host), self._id, host)


def _entered(each: HostSeen, stage: Stage, fleet: Fleet) -> str:
    """Why a host has reached this stage."""
    if not each.in_place:
        return _ENTERED.get(stage, "")
    if stage is Stage.DONE:
        off = [
            fleet.servers[server_id].name
            for server_id, server in each.servers.items()
            if server.wired is Wired.OFF
        ]
        if off:
            return f"its running servers are in the new switch. Off, and bound as before: {', '.join(sorted(off))}"
        return "its servers are in the new switch, so its agent needs the other backend no longer"
    return _ENTERED_IN_PLACE.get(stage, "")


def homes_of(operation: Operation) -> dict[str, str]:
    """The host that each server comes back to, by the server's id."""
    return {item.server_id: item.source for item in operation.items}


def _wanted(operation: Operation) -> Transition:
    assert operation.transition is not None
    return operation.transition
