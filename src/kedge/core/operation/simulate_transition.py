"""What a transition would do, and when: its own stages and decisions over a model of transfers, in virtual time."""

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from kedge.model.host import Host, HostBackend
from kedge.model.operation import Outcome
from kedge.model.server import MigrationOptions
from kedge.model.transition import Stage, Transition

from .excerpt import Excerpt
from .host_seen import Act, Advance, HostSeen, ServerWired, Step, Wired
from .seen import Decision, Move, Seen, Tried
from .simulate import Prediction, Simulation, Turn
from .stages import advance, moves
from .transfer import TransferModel


@dataclass
class _Simulation(Simulation):
    """With the hosts of a transition, each changed by somebody after a while."""

    wanted: Transition = field(kw_only=True)
    of_host: Mapping[str, Sequence[str]] = field(kw_only=True)
    """The servers that each host is to have in the end."""
    in_place: Collection[str] = field(kw_only=True)
    excerpt: Excerpt = field(kw_only=True)
    queue: deque[str] = field(kw_only=True)
    """The hosts that are not looked at yet."""
    hosts: dict[str, HostSeen] = field(default_factory=dict)
    """Those that are, until they are done."""
    homes: Mapping[str, str] = field(default_factory=dict)
    tried: dict[str, tuple[Tried, ...]] = field(default_factory=dict)
    changed_s: dict[str, float] = field(default_factory=dict)
    """When hosts that are being changed will have been, and will have been tried."""
    rewired_s: dict[str, float] = field(default_factory=dict)
    """When servers that are being rewired will have been, also those that were."""
    rewired: Counter[str] = field(default_factory=Counter)
    left: Mapping[str, str] = field(default_factory=dict)
    """Why servers are left where they are, by their ids."""
    begun_s: dict[str, float] = field(default_factory=dict)
    ended_s: dict[str, float] = field(default_factory=dict)
    last: Seen | None = None

    def _call_up(self) -> None:
        """Let the next hosts come into the excerpt, and those leave it that are done."""
        done = [name for name, each in self.hosts.items() if each.stage is Stage.DONE]
        for name in done:
            del self.hosts[name]
            for server_id in self.of_host.get(name, ()):
                self.rewired_s.pop(server_id, None)
        next_ones = sum(each.stage is Stage.QUEUED for each in self.hosts.values())
        called = [
            self.queue.popleft()
            for _ in range(min(len(self.queue), self.seen.limits.hosts_at_once - next_ones))
        ]
        if not done and not called:
            return
        self.fleet = self.excerpt.add(self.fleet, called)
        self.fleet = self.excerpt.remove(self.fleet, done, self._busy())
        for name in called:
            self.hosts[name] = HostSeen(self.fleet.hosts[name].host, in_place=name in self.in_place)
        self.homes = {server_id: name for name in self.hosts for server_id in self.of_host.get(name, ())}

    def _busy(self) -> set[str]:
        """The hosts that have, or are to get, a server of a host that is looked at."""
        away = (self.fleet.servers[each].host for each in self.homes if each in self.fleet.servers)
        running = (each.running for each in self.transfers)
        return {*self.hosts, *away, *(name for each in running for name in (each.source, each.destination))}

    def _widen(self, decision: Decision, following: Advance) -> bool:
        """Look at more hosts, if servers find no place; says whether there are more."""
        homeless = {each.server_id for each in self.last.moves if len(each.hosts) > 1} if self.last else set()
        if not following.short and not decision.without_place & homeless:
            return False
        wider = self.excerpt.widen(self.fleet)
        self.fleet = wider or self.fleet
        return wider is not None

    def _as_seen(self) -> Seen:
        self._call_up()
        seen = super()._as_seen()
        found = moves(self.wanted, self.hosts.values(), self.homes, seen.fleet)
        self.last = replace(seen, moves=tuple(self._with_history(each) for each in found))
        return self.last

    def _with_history(self, move: Move) -> Move:
        tried, left = self.tried.get(move.server_id, ()), self.left.get(move.server_id)
        return replace(move, tried=tried, left=left) if tried or left else move

    def _note(self, server_id: str, tried: Tried) -> None:
        self.tried[server_id] = (*self.tried.get(server_id, ()), tried)

    def _concluded(self, decision: Decision) -> Prediction | None:
        hosts = tuple(self._with_servers(each) for each in self.hosts.values())
        following = advance(self.wanted, hosts, self.homes, self.last or self.seen, decision)
        if self._widen(decision, following):
            return None
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
        self.tried = {key: tried for key, tried in self.tried.items() if self.homes.get(key) != each.name}
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
        left = [each for each in self.hosts.values() if each.stage is not Stage.DONE]
        why = {each.name: each.trouble for each in left} | dict.fromkeys(self.queue)
        unmoved: dict[str, tuple[str, ...]] = {
            server_id: (f"{name}: {trouble or 'its turn does not come'}",)
            for name, trouble in why.items()
            for server_id in self.of_host.get(name, ())
        }
        turns = tuple(
            Turn(name, begun, self.ended_s.get(name), name in self.in_place, self.rewired[name])
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
    options: Mapping[str, MigrationOptions] = MappingProxyType({}),
    left: Mapping[str, str] = MappingProxyType({}),
) -> Prediction:
    """What a transition would do from now on, as if each host was changed within `model.convert_s` once it is empty.

    Those hosts that are changed `in_place` stay as full as they are. `homes` has each server's host, `left` why one
    would not be moved, `options` those of the others' migrations.
    `seen.moves` counts for nothing, and `seen.fleet` is taken as by `simulate`.
    """
    of_host: dict[str, list[str]] = {}
    for server_id, home in homes.items():
        of_host.setdefault(home, []).append(server_id)
    excerpt = Excerpt(seen.fleet)
    under_way = {name for each in seen.running for name in (each.source, each.destination)}
    return _Simulation(
        seen,
        model or TransferModel(),
        excerpt.begin(under_way & seen.fleet.hosts.keys()),
        (),
        options,
        wanted=replace(wanted, run=""),
        of_host=of_host,
        in_place=in_place,
        excerpt=excerpt,
        queue=deque(wanted.hosts),
        left=left,
    ).run()
