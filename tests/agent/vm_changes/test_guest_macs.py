"""A macvtap gets the MAC that QEMU says its guest has; nobody else's QEMU is asked."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import libvirt
import libvirt_qemu
import pytest

from kedge.agent.domains.hypervisor import Hypervisor
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.domains.libvirt_events import Events
from kedge.agent.vif import Pluggers
from kedge.agent.vm_changes.guest_macs import GuestMacs

from ..agent_stand_ins import NotedVifs

NIC = "<interface type='{kind}'{more}><target dev='{device}'/><alias name='{device}-nic'/></interface>"


class Host:
    """Stands for the connection to libvirt and its domains."""

    def __init__(self) -> None:
        self.interfaces = ""
        self.subscribers: list[Callable[[Any], None]] = []
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.answer: dict[str, Any] = {"return": [{"main-mac": "52:54:00:0B:0D:01"}]}

    def on_connect(self, subscribe: Callable[[Any], None]) -> None:
        self.subscribers.append(subscribe)

    def speaking(self, _doing: str) -> AbstractContextManager[None]:
        return nullcontext()

    def xml(self, uuid: str) -> str:
        self.shown.append(uuid)
        return f"<domain><devices>{self.interfaces if uuid == 'vm' else ''}</devices></domain>"

    def domain(self, uuid: str) -> str:
        return uuid

    def monitor(self, _domain: str, command: str, _flags: int) -> str:
        asked = json.loads(command)
        assert asked["execute"] == "query-rx-filter"
        self.asked.append(asked["arguments"]["name"])
        return json.dumps(self.answer)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(libvirt_qemu, "qemuMonitorCommand", made.monitor)
    return made


@pytest.fixture
def vifs() -> NotedVifs:
    made = NotedVifs()
    made.macvtaps = {"tap1"}
    return made


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def macs(host: Host, vifs: NotedVifs, events: Events) -> Iterator[GuestMacs]:
    made = GuestMacs(cast(Pluggers, vifs), cast(Hypervisor, host), cast(Connection, host), events)
    made.start()
    yield made
    made.close()


def nic(device: str = "tap1", kind: str = "ethernet", more: str = "") -> str:
    return NIC.format(device=device, kind=kind, more=more)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def looked(macs: GuestMacs, host: Host) -> None:
    """Look, and return when that is over: domains are looked at one after the other."""
    macs.look("vm")
    macs.look("last")
    until(lambda: "last" in host.shown)


def test_it_is_asked_when_a_vm_runs_here(
    macs: GuestMacs, host: Host, vifs: NotedVifs, events: Events
) -> None:
    host.interfaces = nic()
    events.lifecycle("vm", libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED)
    until(lambda: vifs.macs)
    assert vifs.macs == [("tap1", "52:54:00:0b:0d:01")]
    assert host.asked == ["tap1-nic"]


@pytest.mark.parametrize(
    "interface",
    [
        pytest.param(nic("tap2"), id="a tap in a switch"),
        pytest.param(nic(kind="direct"), id="libvirt's own macvtap"),
        pytest.param(nic(more=" trustGuestRxFilters='no'"), id="a guest that may not"),
    ],
)
def test_nobody_elses_qemu_is_asked(macs: GuestMacs, host: Host, vifs: NotedVifs, interface: str) -> None:
    host.interfaces = interface
    looked(macs, host)
    assert (host.asked, vifs.macs) == ([], [])


def test_a_nic_that_can_not_say_keeps_its_mac(macs: GuestMacs, host: Host, vifs: NotedVifs) -> None:
    host.interfaces = nic()
    host.answer = {"error": {"class": "GenericError", "desc": "net client(tap1-nic) is not a NIC"}}
    looked(macs, host)
    assert (host.asked, vifs.macs) == (["tap1-nic"], [])


def test_a_guest_that_changes_its_filter_all_the_time_is_looked_at_now_and_then(
    macs: GuestMacs, host: Host
) -> None:
    begun = time.monotonic()
    while host.shown.count("vm") < 3:
        macs.look("vm")
        time.sleep(0.001)
    assert time.monotonic() - begun >= 2
    looked(macs, host)  # Nobody else waits for it.
    assert host.shown.count("last") == 1


def test_libvirts_test_driver_has_nothing_to_ask(macs: GuestMacs, host: Host) -> None:
    (subscribe,) = host.subscribers
    subscribe(libvirt.open("test:///default"))
    assert host.asked == []
