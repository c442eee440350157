"""A VM's devices are told where it is by libvirt's events, and by a look where an event was missed."""

import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import libvirt
import pytest

from kedge.agent.domains.hypervisor import Hypervisor, Instance
from kedge.agent.domains.libvirt_events import Events
from kedge.agent.domains.transfers import Transfers
from kedge.agent.vif import Pluggers
from kedge.agent.vm_changes.places import Places
from kedge.model.domain import DomainState
from kedge.model.errors import HostFailure

from ..agent_stand_ins import NotedVifs

STARTED, SUSPENDED = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED
RESUMED, STOPPED = libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_STOPPED
INCOMING = libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED
TO_SWITCH = libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED
_MAC = "<mac address='52:54:00:00:00:01'/>"
OWN = f"<interface type='ethernet'>{_MAC}<target dev='tap1'/></interface>"
LIBVIRTS = (
    f"<interface type='direct'>{_MAC}<source dev='eth1' mode='bridge'/><target dev='macvtap0'/></interface>"
)
PRIVATE = (
    f"<interface type='direct'>{_MAC}<source dev='eth1' mode='private'/><target dev='macvtap1'/></interface>"
)


class Host:
    """Stands for libvirt and what was ordered here."""

    def __init__(self) -> None:
        self.interfaces = {"vm": OWN}
        self.seen: dict[str, DomainState] = {}
        self.moved: set[str] = set()
        self.asked: list[str] = []

    def xml(self, uuid: str) -> str:
        self.asked.append(uuid)
        if uuid not in self.interfaces:
            raise HostFailure("gone")
        return f"<domain><devices>{self.interfaces[uuid]}</devices></domain>"

    def xmls(self) -> dict[str, str]:
        return {uuid: f"<domain><devices>{nics}</devices></domain>" for uuid, nics in self.interfaces.items()}

    def every_instance(self, _under_way: object) -> dict[str, Instance]:
        return {uuid: Instance(1, state) for uuid, state in self.seen.items()}

    def under_way(self) -> set[str]:
        return set()

    def remembers(self, uuid: str) -> bool:
        return uuid in self.moved


class Told:
    def __init__(self) -> None:
        self.host, self.vifs, self.events = Host(), NotedVifs(), Events()
        self.places = Places(
            cast(Pluggers, self.vifs), cast(Hypervisor, self.host), cast(Transfers, self.host), self.events
        )
        self.places.start()

    def expect(self, *places: tuple[str, bool]) -> None:
        """That these, and no others, are told."""
        self.events.lifecycle("last", RESUMED, 0)
        until(lambda: "last" in self.host.asked)
        assert self.vifs.places == list(places)
        self.host.asked.clear()
        self.vifs.places.clear()


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.places.close()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("event", "detail", "expected"),
    [
        (STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, [("tap1", True)]),
        (STARTED, INCOMING, []),
        (RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED, [("tap1", True)]),
        (RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY, [("tap1", True)]),
        (SUSPENDED, TO_SWITCH, [("tap1", False)]),
        (SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY, [("tap1", False)]),
        (SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, []),
        (STOPPED, 0, []),
    ],
)
def test_what_an_event_says_of_where_the_vm_is(
    told: Told, event: int, detail: int, expected: list[tuple[str, bool]]
) -> None:
    told.events.lifecycle("vm", event, detail)
    told.expect(*expected)


def test_libvirt_is_not_asked_in_the_pause(told: Told) -> None:
    told.events.lifecycle("vm", STARTED, INCOMING)
    until(lambda: told.host.asked == ["vm"])
    told.host.asked.clear()
    told.events.lifecycle("vm", RESUMED, 1)
    told.events.lifecycle("vm", SUSPENDED, TO_SWITCH)
    until(lambda: told.vifs.places == [("tap1", True), ("tap1", False)])
    assert told.host.asked == []


def test_another_life_may_have_other_devices(told: Told) -> None:
    told.events.lifecycle("vm", STARTED, 0)
    until(lambda: told.vifs.places == [("tap1", True)])
    told.events.lifecycle("vm", STOPPED, 0)
    told.host.interfaces["vm"] = OWN.replace("tap1", "tap2")
    told.events.lifecycle("vm", STARTED, 0)
    told.expect(("tap1", True), ("tap2", True))


def test_a_macvtap_of_libvirts_is_touched_only_where_kedge_moves_its_vm(told: Told) -> None:
    told.host.interfaces["vm"] = OWN + LIBVIRTS + PRIVATE
    told.events.lifecycle("vm", SUSPENDED, TO_SWITCH)
    told.expect(("tap1", False))
    told.host.moved.add("vm")
    told.events.lifecycle("vm", SUSPENDED, TO_SWITCH)
    told.events.lifecycle("vm", RESUMED, 0)
    told.expect(("tap1", False), ("macvtap0", False), ("tap1", True), ("macvtap0", True))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (DomainState.RUNNING, [("tap1", True)]),
        (DomainState.POSTCOPY_DESTINATION, [("tap1", True)]),
        (DomainState.INCOMING, [("tap1", False)]),
        (DomainState.SWITCHOVER, [("tap1", False)]),
        (DomainState.POSTCOPY_SOURCE, [("tap1", False)]),
        (DomainState.PAUSED, []),
    ],
)
def test_a_look_puts_right_what_no_event_told(
    told: Told, state: DomainState, expected: list[tuple[str, bool]]
) -> None:
    told.host.seen = {"vm": state, "another": DomainState.RUNNING}
    told.places.look(told.host.xmls())
    told.expect(*expected)


def test_what_a_look_saw_is_of_no_interest_after_an_event(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paused_meanwhile(_under_way: object) -> dict[str, Instance]:
        told.events.lifecycle("vm", SUSPENDED, TO_SWITCH)
        return {"vm": Instance(1, DomainState.RUNNING)}

    monkeypatch.setattr(told.host, "every_instance", paused_meanwhile)
    told.places.look(told.host.xmls())
    told.expect(("tap1", False))


def test_a_vm_that_is_gone_stops_nothing(told: Told) -> None:
    del told.host.interfaces["vm"]
    told.events.lifecycle("vm", RESUMED, 0)
    told.host.interfaces["other"] = OWN
    told.events.lifecycle("other", RESUMED, 0)
    told.expect(("tap1", True))
