"""Drives rewirings: look, decide, act, and again. A conductor may die at any instant, and another goes on."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy.orm import Session

from kedge.core.rewiring import Act, Action, Port, Seen, Tap, decide
from kedge.model.errors import Conflict, HostFailure, KedgeError, NotFound, StaleEpoch, Unreachable
from kedge.model.network import Binding, BindingStatus, Network
from kedge.model.network import Port as NetworkPort
from kedge.model.rewiring import RewiredPort
from kedge.store import in_words
from kedge.store.tables import RewiringRow
from kedge.wire.messages import Rewire, RewireOrder, RewireStep, Side, SidesRequest

from ..migrations.actor import Tools
from ..records.claims import Claims
from .records import RewiringRecords, changes_of
from .rewirings import vif_as

log = structlog.get_logger()

POLL_S = 0.5
REST = 10
"""Where there is none, so many times as long passes between two looks for one that was begun by another process."""

AT_ONCE = 4
"""So many servers are rewired at the same time."""

_MOST_ROUNDS = 10_000
"""More than any rewiring takes: what goes round in circles is looked at anew later."""

_TAPS = {Side.HERE: Tap.NEW, Side.THERE: Tap.OLD, Side.NOWHERE: Tap.NOWHERE, Side.GONE: Tap.GONE}


class RewiringConductor:
    """Drives the rewirings that it can claim, several at a time."""

    def __init__(
        self, tools: Tools, records: RewiringRecords, claims: Claims, *, poll_s: float = POLL_S
    ) -> None:
        self._tools = tools
        self._records = records
        self._claims = claims
        self._poll_s = poll_s
        self._driven: set[str] = set()
        self._stopping = threading.Event()
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="rewiring")
        self._thread = threading.Thread(target=self._watch, name="rewirings", daemon=True)

    def start(self) -> None:
        """Drive every rewiring that has not ended and that no other conductor drives, from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop driving; what is under way goes on when a conductor is there again."""
        self._stopping.set()
        self._tools.rewiring_begun.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._workers.shutdown(cancel_futures=True)

    def _watch(self) -> None:
        begun = self._tools.rewiring_begun
        while not self._stopping.is_set():
            at_rest = False
            try:
                unfinished = self._records.unfinished()
                at_rest = not unfinished
                for rewiring_id in self._claims.claim(unfinished) if unfinished else ():
                    if rewiring_id not in self._driven:
                        self._driven.add(rewiring_id)
                        self._workers.submit(self._drive, rewiring_id)
            except Exception as error:
                # Whatever is wrong with the database, the conductor must be there when it is back.
                log.warning("can't look for rewirings, will look again", error=in_words(error))
            begun.wait(REST * self._poll_s if at_rest else self._poll_s)
            begun.clear()

    def _drive(self, rewiring_id: str) -> None:
        """Until it has ended, or has to wait: then it is driven anew, with a new epoch."""
        try:
            if Drive(rewiring_id, self._tools, self._records).run(self._stopping):
                self._claims.release(rewiring_id)
        except StaleEpoch as error:
            log.info("this conductor drives it no longer", rewiring=rewiring_id, why=str(error))
            self._claims.release(rewiring_id)
        except KedgeError as error:
            log.warning("a rewiring has to wait", rewiring=rewiring_id, error=str(error))
        except Exception:
            log.exception("the drive broke off and starts anew", rewiring=rewiring_id)
        finally:
            self._driven.discard(rewiring_id)
            self._tools.operation_news.set()


class Drive:
    """One conductor's work on one rewiring, with an epoch of its own."""

    def __init__(self, rewiring_id: str, tools: Tools, records: RewiringRecords) -> None:
        self._id = rewiring_id
        self._tools = tools
        self._records = records
        self._epoch = records.take_over(rewiring_id)
        self._networks: dict[str, Network] = {}
        self._pairs: dict[str, Rewire] = {}
        self._row = records.known(rewiring_id, self._epoch)

    def run(self, stopping: threading.Event) -> bool:
        """Until it has ended (True), or has to wait (False). Raises KedgeError."""
        for _ in range(_MOST_ROUNDS):
            if stopping.is_set():
                return False
            action = decide(self.look())
            log.info("decided", rewiring=self._id, act=action.act, ports=action.ports, why=action.why)
            if action.act is Act.WAIT:
                return False
            self.act(action)
            if action.act is Act.FINISH:
                return True
        return False

    def look(self) -> Seen:
        """The ports' bindings, their taps, and what is wanted."""
        row = self._row = self._records.known(self._id, self._epoch)
        bound = {port.id: (port, found) for port, found in self._tools.network.bound_ports(row.server_id)}
        changes = changes_of(row)
        for change in changes:
            if change.port_id in bound:
                port = bound[change.port_id][0]
                network = self._network_of(port)
                after, before = vif_as(port, network, change.after), vif_as(port, network, change.before)
                self._pairs[change.port_id] = Rewire(after, before)
        sides, gone = self._sides(row)
        return Seen(
            tuple(
                Port(
                    change.port_id,
                    _TAPS[(sides or {}).get(change.port_id, Side.GONE)],
                    change.port_id in bound and _is_ours(row, change, bound[change.port_id][1]),
                )
                for change in changes
            ),
            reachable=sides is not None,
            gone=gone,
            committed=row.committed,
            prepared=row.prepared,
            left=row.left,
            abort=row.abort_requested,
            failure=row.error,
            tries=row.tries,
        )

    def _sides(self, row: RewiringRow) -> tuple[dict[str, Side] | None, bool]:
        """Where the taps are, or None if the agent does not say; and whether the host is said to be off."""
        try:
            off = self._tools.agents.host(row.host).forced_down
        except NotFound:  # somebody has edited the database
            return None, True
        try:
            agent = self._tools.agents.agent(row.host)
            return agent.sides(SidesRequest(tuple(self._pairs.values()))), off
        except (Unreachable, HostFailure, NotFound) as error:
            log.info("a host can't be looked at", rewiring=self._id, error=str(error))
            return None, off

    def _network_of(self, port: NetworkPort) -> Network:
        if port.network_id not in self._networks:
            self._networks[port.network_id] = self._tools.network.network(port.network_id)
        return self._networks[port.network_id]

    def act(self, action: Action) -> None:
        """Do it. Raises KedgeError when that could not be done; Unreachable when it may be done late.

        Then whoever drives on takes a new epoch, and the agent refuses what is late once it has an order with that.
        """
        match action.act:
            case Act.PREPARE:
                self._order(RewireStep.PREPARE, action.ports)
            case Act.MOVE:
                self._order(RewireStep.MOVE, action.ports)
            case Act.MOVE_BACK:
                self._order(RewireStep.MOVE, action.ports, back=True)
            case Act.LEAVE_OLD:
                self._order(RewireStep.LEAVE, action.ports)
            case Act.LEAVE_NEW:
                self._order(RewireStep.LEAVE, action.ports, back=True)
            case Act.COMMIT:
                self._commit()
            case Act.GIVE_UP:
                self._records.give_up(self._id, self._epoch, action.why)
            case Act.FINISH:
                ended = self._records.finish(self._id, self._epoch, action.why)
                log.info("a rewiring has ended", rewiring=self._id, outcome=ended.state)

    def _order(self, step: RewireStep, port_ids: Sequence[str], *, back: bool = False) -> None:
        """Raises Unreachable."""
        pairs = [self._pairs[port_id] for port_id in port_ids]
        if back:
            pairs = [Rewire(pair.other, pair.vif) for pair in pairs]
        order = RewireOrder(step, tuple(pairs), self._epoch)
        only_forward = not (back or self._row.committed)
        try:
            results = self._tools.agents.agent(self._row.host).rewire(order)
        except HostFailure as error:
            self._failed(str(error), give_up=only_forward)
            return
        if results.failed:
            why = "; ".join(f"port {port_id}: {reason}" for port_id, reason in sorted(results.failed.items()))
            self._failed(why, give_up=only_forward)
            return
        self._records.note(
            self._id,
            self._epoch,
            prepared=step is RewireStep.PREPARE,
            left=step is RewireStep.LEAVE,
            blackout_ms=None if back else results.blackout_ms,
        )

    def _failed(self, why: str, *, give_up: bool) -> None:
        """Nothing can be given up once there is only one way to go; then it is tried again, a few times."""
        if give_up:
            self._records.give_up(self._id, self._epoch, why)
            return
        log.warning("could not be done, will try again", rewiring=self._id, error=why)
        self._records.note(self._id, self._epoch, failed=True)
        raise HostFailure(why)

    def _commit(self) -> None:
        def within(session: Session) -> None:
            self._records.commit(session, self._id, self._epoch)

        try:
            self._tools.network.rewire(self._row.server_id, self._row.host, changes_of(self._row), within)
        except StaleEpoch:
            raise
        except (Conflict, NotFound) as error:  # somebody was quicker; the next look sees what is now
            log.info("not committed", rewiring=self._id, why=str(error))


def _is_ours(row: RewiringRow, change: RewiredPort, bindings: Sequence[Binding]) -> bool:
    wiring = change.after if row.committed else change.before
    return any(
        binding.host == row.host
        and binding.status is BindingStatus.ACTIVE
        and binding.vif_type == wiring.vif_type
        and dict(binding.vif_details) == dict(wiring.vif_details)
        for binding in bindings
    )
