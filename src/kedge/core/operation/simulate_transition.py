"""What a transition would do, and when: its own stages and decisions over a model of transfers, in virtual time."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from kedge.model.host import Host, HostBackend
from kedge.model.operation import Outcome
from kedge.model.transition import Stage, Transition

from .host_seen import Act, Advance, HostSeen, ServerWired, Step, Wired
from .seen import Decision, Move, Seen, Tried
from .simulate import Prediction, Simulation, Turn
from .stages import advance, moves
from .transfer import TransferModel


@dataclass
class _Simulation(Simulation):
    """With the hosts of a transition, each changed by somebody after a while."""

    wanted: Transition = field(kw_only=True)
    homes: Mapping[str, str] = field(kw_only=True)
    hosts: dict[str, HostSeen] = field(kw_only=True)
    tried: dict[str, tuple[Tried, ...]] = field(default_factory=dict)
    changed_s: dict[str, float] = field(default_factory=dict)
    """When hosts that are being changed will have been, and will have been tried."""
    rewired_s: dict[str, float] = field(default_factory=dict)
    """When servers that are being rewired will have been, also those that were."""
    rewired: Counter[str] = field(default_factory=Counter)
    begun_s: dict[str, float] = field(default_factory=dict)
    ended_s: dict[str, float] = field(default_factory=dict)
    last: Seen | None = None

    def _as_seen(self) -> Seen:
        seen = super()._as_seen()
        found = moves(self.wanted, self.hosts.values(), self.homes, seen.fleet)
        self.last = replace(seen, moves=tuple(self._with_history(each) for each in found))
        return self.last

    def _with_history(self, move: Move) -> Move:
        tried = self.tried.get(move.server_id)
        return replace(move, tried=tried) if tried else move

    def _note(self, server_id: str, tried: Tried) -> None:
        self.tried[server_id] = (*self.tried.get(server_id, ()), tried)

    def _concluded(self, decision: Decision) -> Prediction | None:
        hosts = tuple(self._with_servers(each) for each in self.hosts.values())
        following = advance(self.wanted, hosts, self.homes, self.last or self.seen, decision)
        done = [self._does(*each) for each in following.steps.items() if following.outcome is None]
        if any(done):
            return None
        rewired = (until for until in self.rewired_s.values() if until > self.now_s)
        times = [*self.changed_s.values(), *rewired, *self._wakes(decision, following)]
        if following.outcome is None and (self.transfers or times):
            self._pass_time(min(times, default=None))
            self._change_hosts()
            return None
        return self._of_all(following)

    def _wakes(self, decision: Decision, following: Advance) -> list[float]:
        """When something may be begun that has to wait for that time."""
        return [each - self.seen.now_s for each in (decision.wake_s, following.wake_s) if each is not None]

    def _with_servers(self, each: HostSeen) -> HostSeen:
        if each.stage is not Stage.REWIRING:
            return each
        there = {server.id: ServerWired(self._wired(server.id)) for server in self.fleet.on(each.name)}
        return replace(each, servers=there)

    def _wired(self, server_id: str) -> Wired:
        until = self.rewired_s.get(server_id)
        if until is None:
            return Wired.OLD
        return Wired.CHANGING if until > self.now_s else Wired.NEW

    def _does(self, name: str, step: Step) -> bool:
        """Do it; says whether that changed anything."""
        each = self.hosts[name]
        match step.act:
            case Act.ENTER:
                self._enter(each, step.stage or Stage.DONE)
            case Act.TRY:
                self._enter(each, Stage.REWIRING if each.in_place else Stage.RETURNING)
            case Act.REWIRE:
                until = self.now_s + self.model.lag_s + self.model.rewire_s
                self.rewired_s |= dict.fromkeys(step.servers, until)
                self.rewired[name] += len(step.servers)
            case Act.STOP:
                self.hosts[name] = replace(each, trouble=step.why)
            case _:
                return False
        return True

    def _enter(self, each: HostSeen, stage: Stage) -> None:
        if each.stage is Stage.QUEUED:
            self.begun_s[each.name] = self.now_s
        if stage is Stage.CONVERTING:
            self.changed_s[each.name] = self.now_s + self.model.convert_s + self.model.try_s
        if stage is Stage.DONE:
            self.ended_s[each.name] = self.now_s
        self.tried = {key: tried for key, tried in self.tried.items() if self.homes[key] != each.name}
        self.hosts[each.name] = replace(each, stage=stage, before=each.host.backends)
        state = self.fleet.hosts[each.name]
        disabled = "its turn has come" if stage.takes_nobody else None
        settings = replace(state.settings, disabled=disabled)
        self.fleet = self.fleet.with_host(replace(state, settings=settings))

    def _change_hosts(self) -> None:
        for name in [name for name, until in self.changed_s.items() if until <= self.now_s]:
            del self.changed_s[name]
            each = self.hosts[name]
            changed = _changed(each.host, self.wanted, beside=each.in_place)
            self.hosts[name] = replace(self.hosts[name], host=changed)
            self.fleet = self.fleet.with_host(replace(self.fleet.hosts[name], host=changed))

    def _of_all(self, following: Advance) -> Prediction:
        unmoved: dict[str, tuple[str, ...]] = {}
        for server_id, home in self.homes.items():
            each = self.hosts[home]
            if each.stage is not Stage.DONE:
                unmoved[server_id] = (f"{home}: {each.trouble or 'its turn does not come'}",)
        turns = tuple(
            Turn(name, begun, self.ended_s.get(name), self.hosts[name].in_place, self.rewired[name])
            for name, begun in sorted(self.begun_s.items(), key=lambda each: each[1])
        )
        return replace(self._predicted(unmoved, following.outcome or Outcome.FAILED), turns=turns)


def _changed(host: Host, wanted: Transition, *, beside: bool) -> Host:
    """The host with what is wanted, for all physical networks that it has; by what device is not known.

    What it has stays `beside` that, or does not.
    """
    physical = {name for each in host.backends for name in each.mappings} | wanted.mappings.keys()
    mtus = {name: mtu for each in host.backends for name, mtu in each.mtus.items()}
    mappings = {name: wanted.mappings.get(name, "?") for name in physical}
    others = host.backends if beside else ()
    return replace(host, backends=(HostBackend(wanted.to_backend, mappings, mtus), *others))


def simulate_transition(
    wanted: Transition,
    seen: Seen,
    homes: Mapping[str, str],
    model: TransferModel | None = None,
    *,
    in_place: Collection[str] = (),
) -> Prediction:
    """What a transition would do from now on, as if each host was changed within `model.convert_s` once it is empty.

    Those hosts that are changed `in_place` stay as full as they are. `homes` has each server's host.
    `seen.moves` counts for nothing, and `seen.fleet` is taken as by `simulate`.
    """
    by_hand = replace(wanted, run="")
    hosts = {name: HostSeen(seen.fleet.hosts[name].host, in_place=name in in_place) for name in wanted.hosts}
    return _Simulation(
        seen, model or TransferModel(), seen.fleet, (), wanted=by_hand, homes=homes, hosts=hosts
    ).run()
