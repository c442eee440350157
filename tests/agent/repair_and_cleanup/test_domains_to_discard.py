"""A domain goes only on the control plane's word, given again and again for the same instance in the same state."""

from collections.abc import Iterable
from typing import Any, cast

import pytest

from kedge.agent.domains.hypervisor import Hypervisor, Instance
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.repair_and_cleanup import domains_to_discard
from kedge.agent.repair_and_cleanup.domains_to_discard import (
    PATIENCE_PERIODS,
    DomainsToDiscard,
    Suspect,
    still_suspect,
)
from kedge.model.domain import DomainState
from kedge.model.errors import Conflict, HostFailure
from kedge.wire.messages import DiscardOrder, HostDuties

UUID, OTHER = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
INCOMING = Instance(5, DomainState.INCOMING)
ORDER = DiscardOrder((DomainState.INCOMING,), 7)
PERIOD_S = 2.0


def test_the_count_begins_with_the_first_word() -> None:
    assert still_suspect({UUID: ORDER}, {UUID: INCOMING}, {}, 3.0) == {UUID: Suspect(INCOMING, 3.0)}


def test_the_count_goes_on_for_the_same_instance() -> None:
    before = {UUID: Suspect(INCOMING, 3.0)}
    assert still_suspect({UUID: ORDER}, {UUID: INCOMING}, before, 9.0) == before


@pytest.mark.parametrize("later", [Instance(6, DomainState.INCOMING), Instance(5, DomainState.SHUTOFF)])
def test_another_instance_or_state_begins_anew(later: Instance) -> None:
    order = DiscardOrder((DomainState.INCOMING, DomainState.SHUTOFF))
    before = {UUID: Suspect(INCOMING, 3.0)}
    assert still_suspect({UUID: order}, {UUID: later}, before, 9.0) == {UUID: Suspect(later, 9.0)}


def test_one_that_is_not_named_any_more_is_no_suspect() -> None:
    assert still_suspect({}, {UUID: INCOMING}, {UUID: Suspect(INCOMING, 3.0)}, 9.0) == {}


@pytest.mark.parametrize("state", [state for state in DomainState if state is not DomainState.INCOMING])
def test_one_in_a_state_that_was_not_said_is_no_suspect(state: DomainState) -> None:
    assert still_suspect({UUID: ORDER}, {UUID: Instance(5, state)}, {}, 9.0) == {}


def test_one_that_is_gone_is_no_suspect() -> None:
    assert still_suspect({UUID: ORDER}, {}, {}, 9.0) == {}


class Domains:
    """Stands for `Hypervisor`: what is there, and what was discarded."""

    def __init__(self) -> None:
        self.here: dict[str, Instance] = {UUID: INCOMING, OTHER: INCOMING}
        self.discarded: list[str] = []
        self.away = False

    def end_made(self) -> None:
        pass

    def instances(self, uuids: Iterable[str]) -> dict[str, Instance]:
        if self.away:
            raise HostFailure("libvirtd does not answer")
        return {uuid: self.here[uuid] for uuid in uuids if uuid in self.here}

    def discard(self, uuid: str, order: DiscardOrder, instance: Instance) -> None:
        if self.here[uuid] != instance or instance.state not in order.only_in:
            raise Conflict("it is another")
        del self.here[uuid]
        self.discarded.append(uuid)


class Watch:
    """A control plane that speaks at times of the test's choice."""

    def __init__(self, epochs: Epochs, clock: Any) -> None:
        self.domains = Domains()
        self.left = DomainsToDiscard(cast(Hypervisor, self.domains), epochs)
        self._clock = clock

    def look(self, at: float, *uuids: str, age_s: float = 0.1, order: DiscardOrder = ORDER) -> list[str]:
        """What has been discarded once the duties of this instant were looked at."""
        self._clock.now = at
        duties = HostDuties(report_every_s=PERIOD_S, discard=dict.fromkeys(uuids, order))
        self.left.look(duties, at - age_s)
        return self.domains.discarded


@pytest.fixture
def watch(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Watch:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(domains_to_discard, "time", clock)
    return Watch(Epochs(tmp_path / "epochs.json"), clock)


ENOUGH_S = PATIENCE_PERIODS * PERIOD_S


def test_what_is_named_for_long_enough_goes_and_nothing_else(watch: Watch) -> None:
    assert watch.look(100, UUID) == []
    assert watch.look(100 + ENOUGH_S - 0.1, UUID) == []
    assert watch.look(100 + ENOUGH_S, UUID) == [UUID]
    assert OTHER in watch.domains.here


def test_a_single_answer_that_does_not_name_it_begins_anew(watch: Watch) -> None:
    watch.look(100, UUID)
    watch.look(108)
    assert watch.look(110, UUID) == []
    assert watch.look(110 + ENOUGH_S, UUID) == [UUID]


def test_one_that_was_started_anew_begins_anew(watch: Watch) -> None:
    watch.look(100, UUID)
    watch.domains.here[UUID] = Instance(6, DomainState.INCOMING)
    assert watch.look(111, UUID) == []


def test_one_that_is_defined_again_right_after_it_went_begins_anew(watch: Watch) -> None:
    order = DiscardOrder((DomainState.SHUTOFF,))
    watch.domains.here[UUID] = Instance(-1, DomainState.SHUTOFF)
    watch.look(100, UUID, order=order)
    assert watch.look(111, UUID, order=order) == [UUID]
    watch.domains.here[UUID] = Instance(-1, DomainState.SHUTOFF)
    assert watch.look(113, UUID, order=order) == [UUID]


def test_an_old_answer_is_no_ground(watch: Watch) -> None:
    watch.look(100, UUID)
    assert watch.look(111, UUID, age_s=PERIOD_S + 0.1) == []
    assert watch.look(111, UUID) == [UUID]


def test_a_libvirtd_that_was_away_begins_anew(watch: Watch) -> None:
    watch.look(100, UUID)
    watch.domains.away = True
    watch.look(108, UUID)
    watch.domains.away = False
    assert watch.look(111, UUID) == []


def test_a_word_older_than_the_newest_order_is_refused(watch: Watch) -> None:
    watch.left._epochs.admit(f"server {UUID}", 8)
    watch.look(100, UUID)
    assert watch.look(111, UUID) == []
    assert watch.look(112, UUID, order=DiscardOrder((DomainState.INCOMING,), 8)) == [UUID]
