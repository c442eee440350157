"""Looking at everything that a migration touches, and putting it in the form that decisions are made from."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kedge.core.migration import BindingView, Intent, Observation, Plugged, Role, Side
from kedge.model.domain import DomainState, FrameTimes, HostView, VifState
from kedge.model.errors import HostFailure, NotFound, Unreachable
from kedge.model.network import Binding, BindingStatus, Network, Port, Vif, vif_of
from kedge.model.server import Migration, Sign
from kedge.network.service import NetworkService
from kedge.wire.encoding import seen
from kedge.wire.messages import ObserveRequest, VifResults

from ..hosts.agents import Agents
from ..hosts.clock import HostClock

BoundPorts = Sequence[tuple[Port, Sequence[Binding]]]


@dataclass
class Gathered:
    """What the looks so far have shown that is needed again later."""

    clocks: dict[Role, HostClock] = field(default_factory=lambda: {role: HostClock() for role in Role})
    views: dict[Role, HostView] = field(default_factory=dict)  # the newest of each host that answered
    frames: dict[Role, dict[str, FrameTimes]] = field(default_factory=lambda: {role: {} for role in Role})
    answers: dict[Role, dict[str, FrameTimes]] = field(default_factory=lambda: {role: {} for role in Role})
    paused_ns: int | None = None  # in our clock
    resumed_ns: int | None = None
    downtime_ms: int | None = None


@dataclass(frozen=True)
class Blackout:
    """A measured blackout: how long, and what the VM was heard by at its beginning and its end."""

    ms: float
    between: tuple[Sign, Sign]


class Looker:
    """Looks for one migration."""

    def __init__(self, migration: Migration, network: NetworkService, agents: Agents) -> None:
        self._migration = migration
        self._network = network
        self._agents = agents
        self.hosts: Mapping[Role, str] = {
            Role.SOURCE: migration.source,
            Role.DESTINATION: migration.destination,
        }
        self.gathered = Gathered()
        self.when_paused: Callable[[], None] = lambda: None
        self._networks: dict[str, Network] = {}
        self._plugged: dict[Role, Plugged] = {}
        self._sides: dict[Role, Side] = {}  # each as the last look at it found it, but for its bindings
        self._bound: BoundPorts | None = None  # as the last look found them

    def look(
        self,
        intent: Callable[[], Intent],
        *,
        wait_on: Role | None = None,
        wait_ms: int = 0,
        check_vifs: Collection[Role] = tuple(Role),
        ask: Collection[Role] = tuple(Role),
        bindings: bool = True,
    ) -> Observation:
        """Look at the source, then at the destination, then at the bindings, and last at what is wanted.

        With `wait_on`, that host answers when something changes there from the last view, or after `wait_ms`.
        On a host that is not in `check_vifs`, the VIFs count as they were found when they were checked last. A host
        that is not in `ask` counts as it was at the last look. So does the destination while the source is seen to
        run the VM and to copy its memory, or to have paused it with the bindings still to be switched, for then nothing
        is decided by it; and once it was seen to run the VM itself, as long as the source is waited for, for then there
        is no way back. Without `bindings`, these count as the last look found them, unless a wait brought news.
        """
        bound = self._bound if self._bound is not None else self._bindings()
        sides, asked = self._sides, []
        seen_before = dict(sides)
        for role in (Role.SOURCE, Role.DESTINATION):
            known = sides.get(role)
            if known is not None and (role not in ask or self._may_stay(role, wait_on, bound)):
                continue
            check = role in check_vifs
            sides[role] = self._side(role, bound, wait_ms if wait_on is role else 0, check)
            asked.append((role, check))
            if role is Role.SOURCE and _stands_still(sides[role], waited=wait_on is not None):
                self.when_paused()
        if bindings or (wait_on is not None and sides != seen_before):
            before, bound = bound, self._bindings()
            for role, check in asked:
                if self.vifs(role, bound) != self.vifs(role, before):  # of which it was asked
                    sides[role] = self._side(role, bound, 0, check)
        self._bound = bound
        views = {role: self._binding_view(role, bound) for role in self.hosts}
        return Observation(
            source=replace(sides[Role.SOURCE], binding=views[Role.SOURCE], portless=not bound),
            destination=replace(sides[Role.DESTINATION], binding=views[Role.DESTINATION], portless=not bound),
            intent=intent(),
        )

    def _may_stay(self, role: Role, wait_on: Role | None, bound: BoundPorts) -> bool:
        """Whether this host, seen before, need not be looked at again as the other one was just found."""
        if role is Role.SOURCE or role is wait_on:
            return False
        source, known = self._sides[Role.SOURCE], self._sides[role]
        if _copies(source):
            return not known.runs
        if wait_on is not Role.SOURCE or not source.transferring:
            return False
        # It stands still for the switchover, and the bindings are still to be switched: for that the destination's
        # libvirtd need not be waited for, which is busy with the VM that arrives.
        pauses = source.domain is DomainState.SWITCHOVER
        unswitched = self._binding_view(Role.DESTINATION, bound) is BindingView.INACTIVE
        return known.runs or (pauses and unswitched)

    def learn(self, role: Role, results: VifResults) -> None:
        """What an order for all VIFs of one side has found there after it was done."""
        states = {report.port_id: report.state for report in results.done}
        known = self._sides.get(role)
        if known is not None and self._bound is not None:
            vifs = self.vifs(role)
            self._plugged[role] = _plugged(known.domain, states, vifs, len(self._bound))
            self._sides[role] = replace(known, plugged=self._plugged[role])

    def _bindings(self) -> BoundPorts:
        return self._network.bound_ports(self._migration.server_id)

    def vifs(self, role: Role, bound: BoundPorts | None = None) -> list[Vif]:
        """The VIFs of one side: of each port that has a binding there, from that binding, as the last look found it."""
        bound = bound if bound is not None else self._bound
        if bound is None:
            bound = self._bindings()
        return [
            vif_of(port, self._network_of(port), binding)
            for port, bindings in bound
            for binding in bindings
            if binding.host == self.hosts[role]
        ]

    def _network_of(self, port: Port) -> Network:
        """The port's network, read once: what is used of it can't change while it has ports."""
        if port.network_id not in self._networks:
            self._networks[port.network_id] = self._network.network(port.network_id)
        return self._networks[port.network_id]

    def _binding_view(self, role: Role, bound: BoundPorts) -> BindingView:
        here = [binding for _, bindings in bound for binding in bindings if binding.host == self.hosts[role]]
        if not here:
            return BindingView.NONE
        # What another migration left behind may describe a host that has changed since: it is to be made anew.
        foreign = any(self.is_foreign(binding) for binding in here)
        if len(here) < len(bound) or (role is Role.DESTINATION and foreign):
            return BindingView.SOME
        active = all(binding.status is BindingStatus.ACTIVE for binding in here)
        return BindingView.ACTIVE if active else BindingView.INACTIVE

    def is_foreign(self, binding: Binding) -> bool:
        """Whether this INACTIVE binding is not this migration's own."""
        return binding.status is BindingStatus.INACTIVE and binding.migration_id != self._migration.id

    def _side(self, role: Role, bound: BoundPorts, wait_ms: int, check_vifs: bool) -> Side:
        host, vifs = self.hosts[role], self.vifs(role, bound)
        check = check_vifs or role not in self._plugged
        known = self.gathered.views.get(role)
        request = ObserveRequest(
            vifs=tuple(vifs),
            migration_id=self._migration.id,
            watch=True,
            check_vifs=check,
            wait_ms=wait_ms,
            seen=seen(known) if known else "",
        )
        sent = time.time_ns()
        try:
            view = self._agents.agent(host).observe(self._migration.server_id, request)
        except (Unreachable, HostFailure):
            found = self._agents.host(host)
            return Side(reachable=False, dead=not found.alive, gone=found.forced_down)
        except NotFound:
            # Nobody knows the host: somebody has edited the database.
            return Side(reachable=False, dead=True)
        self._gather(role, view, sent, waited=wait_ms > 0)
        if check:
            self._plugged[role] = _plugged(view.domain, view.vifs, vifs, len(bound))
        return Side(domain=view.domain, job=view.job, transfer=view.transfer, plugged=self._plugged[role])

    def _gather(self, role: Role, view: HostView, sent_ns: int, *, waited: bool) -> None:
        gathered = self.gathered
        clock = gathered.clocks[role]
        if not waited:
            clock.sample(sent_ns, view.now_ns, time.time_ns())
        gathered.views[role] = view
        for heard, seen_there in (
            (gathered.frames[role], view.frames),
            (gathered.answers[role], view.answers),
        ):
            heard.update((port_id, times) for port_id, times in seen_there.items() if times.frames)
        if role is Role.SOURCE and view.paused_at_ns is not None:
            gathered.paused_ns = clock.ours(view.paused_at_ns)
        if role is Role.DESTINATION and view.resumed_at_ns is not None:
            gathered.resumed_ns = clock.ours(view.resumed_at_ns)
        if view.completed is not None and view.completed.downtime_ms is not None:
            gathered.downtime_ms = view.completed.downtime_ms

    def blackout(self) -> Blackout | None:
        """From when the VM was heard last on the source to when it was heard first on the destination.

        Heard by a frame of its own or by an answer, whichever is nearer to the pause; the longest over its ports.
        A port that was silent on the source is left out. None when no other is left, or one was not heard again: then
        there is nothing to measure between.
        """
        found = []
        gathered = self.gathered
        for port_id in gathered.frames[Role.SOURCE].keys() | gathered.answers[Role.SOURCE].keys():
            left = max(self._heard(Role.SOURCE, port_id, lambda times: times.last_ns), default=None)
            arrived = min(self._heard(Role.DESTINATION, port_id, lambda times: times.first_ns), default=None)
            if left is None or arrived is None:
                return None
            found.append(Blackout((arrived[0] - left[0]) / 1e6, (left[1], arrived[1])))
        return max(found, key=lambda blackout: blackout.ms, default=None)

    def _heard(
        self, role: Role, port_id: str, which: Callable[[FrameTimes], int | None]
    ) -> Iterator[tuple[int, Sign]]:
        """When, in ns of our clock, and by what."""
        for sign, heard in ((Sign.FRAME, self.gathered.frames), (Sign.ANSWER, self.gathered.answers)):
            times = heard[role].get(port_id)
            at_ns = which(times) if times is not None else None
            if at_ns is not None:
                yield self.gathered.clocks[role].ours(at_ns), sign


def _copies(source: Side) -> bool:
    """Whether the VM runs on the source while its memory is copied."""
    return source.transferring and source.domain is DomainState.RUNNING


def _stands_still(source: Side, *, waited: bool) -> bool:
    """Whether the VM is paused between the hosts; or has arrived meanwhile, if a pause was waited for."""
    return source.domain is DomainState.SWITCHOVER or (
        waited and source.reachable and not source.transferring and source.domain is not DomainState.RUNNING
    )


def _plugged(domain: DomainState, found: Mapping[str, VifState], vifs: Sequence[Vif], ports: int) -> Plugged:
    """How many of the server's VIFs are on the host. Where the VM runs, a device still to come is not enough."""
    runs = domain in {DomainState.RUNNING, DomainState.PAUSED}
    enough = {VifState.UP} if runs else {VifState.UP, VifState.BUILD}
    states = [found.get(vif.port_id, VifState.ABSENT) for vif in vifs]
    if all(state is VifState.ABSENT for state in states):
        return Plugged.NONE
    return Plugged.ALL if len(states) == ports and set(states) <= enough else Plugged.SOME
