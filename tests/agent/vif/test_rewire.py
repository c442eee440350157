"""A tap that its VM holds open is moved from one switch of its host to another, on real devices."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.vif import Pluggers
from kedge.agent.vif.orders import VifOrders
from kedge.core.binding import bind_port
from kedge.model.domain import VifState
from kedge.model.errors import HostFailure, StaleEpoch
from kedge.model.host import Host as NetworkHost
from kedge.model.host import HostBackend
from kedge.model.network import Port, Vif, VifType
from kedge.wire.messages import Rewire, RewireOrder, RewireStep, Side

from .vif_world import ALL, CASES, INTERFACE, PHYSICAL_NETWORK, Vm, World, run, world

pytestmark = pytest.mark.lab

NATIVE = next(case for case in CASES if case.name == "ovs-native-flat")
HYBRID = replace(NATIVE.backend, hybrid_plug=True)
BRIDGE = HostBackend("linuxbridge", {PHYSICAL_NETWORK: "lb-phys1"})
FORMS = {"bridge": BRIDGE, "native": NATIVE.backend, "hybrid": HYBRID}
WAYS = [(old, new) for old in FORMS for new in FORMS if old != new]


@dataclass
class Both:
    """A host with Open vSwitch, whose bridge of the physical network also carries an interface for Linux bridges."""

    host: World
    pluggers: Pluggers

    def as_form(self, vif: Vif, form: str) -> Vif:
        """The same VIF, wired by another backend."""
        network = replace(self.host.network(None), id=vif.network_id)
        port = Port(vif.port_id, vif.network_id, vif.mac_address)
        bound = bind_port(port, network, NetworkHost("host", backends=(FORMS[form],)))
        return replace(vif, vif_type=bound.vif_type, vif_details=bound.vif_details)


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with world(NATIVE) as host:
        run("ip", "link", "add", "lb-phys1", "type", "veth", "peer", "name", "ovs-phys1")
        for name in ("lb-phys1", "ovs-phys1"):
            run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
            run("ip", "link", "set", name, "up")
        run("ovs-vsctl", "add-port", "br-physnet1", "ovs-phys1")
        with Pluggers([BRIDGE, NATIVE.backend]) as pluggers:
            yield Both(host, pluggers)


def is_heard(both: Both, vm: Vm) -> bool:
    vm.send(ALL, "from the VM")
    both.host.wire.send(vm.mac, "to the VM", None)
    outside, inside = both.host.wire.heard(at_least=1), vm.heard(at_least=1)
    return outside == [(None, "from the VM")] and inside == ["to the VM"]


@pytest.mark.parametrize(("old", "new"), WAYS)
def test_the_vm_goes_on_in_the_other_switch(both: Both, old: str, new: str) -> None:
    before = both.host.devices()
    here = both.as_form(both.host.vif(), old)
    there = both.as_form(here, new)
    both.pluggers.plug(here)
    with both.host.vm(here) as vm:
        both.pluggers.make_ready(there)
        assert both.pluggers.state(here) is VifState.UP
        assert is_heard(both, vm)
        announced: list[Vif] = []
        assert both.pluggers.move(there, announced.append) > 0
        assert announced == [there]
        assert (both.pluggers.state(there), both.pluggers.state(here)) == (VifState.UP, VifState.ABSENT)
        both.pluggers.leave(here)
        assert both.pluggers.state(there) is VifState.UP
        assert is_heard(both, vm)
        with Pluggers([]) as later:
            assert {report.port_id for report in later.plugged()} == {here.port_id}
    both.pluggers.unplug(here.port_id)
    assert both.host.devices() == before


def test_an_agent_that_mends_brings_a_tap_to_where_its_binding_says(both: Both) -> None:
    before = both.host.devices()
    vif = both.host.vif()
    ways = {form: both.as_form(vif, form) for form in FORMS}
    both.pluggers.plug(ways["bridge"])
    with both.host.vm(ways["bridge"]) as vm:
        for form in ("native", "hybrid", "bridge", "hybrid", "native", "bridge"):
            run("ip", "link", "set", vm.vif.tap_name, "alias", f"kedge:port:{vm.vif.port_id}:bridge")
            assert both.pluggers.mend(ways[form]) is VifState.UP
            assert [each for each in ways if both.pluggers.state(ways[each]) is VifState.UP] == [form]
        assert is_heard(both, vm)
    both.pluggers.unplug(vm.vif.port_id)
    assert both.host.devices() == before


def test_what_can_not_be_moved_is_refused_in_words(both: Both) -> None:
    vif = both.as_form(both.host.vif(), "native")
    with pytest.raises(HostFailure, match="there is no tap"):
        both.pluggers.move(vif, lambda _: None)
    run("ip", "tuntap", "add", vif.tap_name, "mode", "tap")
    with pytest.raises(HostFailure, match="that Kedge made for port"):
        both.pluggers.move(vif, lambda _: None)
    assert not both.pluggers.has_tap(vif)
    run("ip", "link", "del", vif.tap_name)
    with pytest.raises(HostFailure, match="is no tap in a switch"):
        both.pluggers.make_ready(replace(vif, vif_type=VifType.MACVTAP))


def test_an_interface_of_open_vswitch_is_put_into_no_linux_bridge(both: Both) -> None:
    """An agent that runs while Open vSwitch is put below its bridges would do so: a loop."""
    before = both.host.devices()
    vif = both.as_form(both.host.vif(), "bridge")
    as_it_was = HostBackend("linuxbridge", {PHYSICAL_NETWORK: INTERFACE})
    with (
        Pluggers([as_it_was]) as pluggers,
        pytest.raises(HostFailure, match="is a port of Open vSwitch's br-"),
    ):
        pluggers.plug(vif)
    both.pluggers.unplug(vif.port_id)
    assert both.host.devices() == before


def rewire(step: RewireStep, vif: Vif, other: Vif, epoch: int = 1) -> RewireOrder:
    return RewireOrder(step, (Rewire(vif, other),), epoch)


def test_orders_are_taken_once_and_guarded(both: Both, tmp_path: Path) -> None:
    old = both.as_form(both.host.vif(), "bridge")
    new = both.as_form(old, "native")
    changes: list[None] = []
    orders = VifOrders(both.pluggers, Epochs(tmp_path / "epochs.json"), lambda: changes.append(None))
    announced: list[Vif] = []
    pair = Rewire(new, old)
    assert orders.sides([pair]) == {old.port_id: Side.GONE}
    both.pluggers.plug(old)
    with both.host.vm(old):
        assert orders.sides([pair]) == {old.port_id: Side.THERE}
        refused = orders.rewire(rewire(RewireStep.LEAVE, new, old), announced.append)
        assert "still in the switch" in refused.failed[old.port_id]
        asked_at = time.monotonic()
        for times in (1, 0):
            moved = orders.rewire(rewire(RewireStep.MOVE, new, old), announced.append)
            assert (moved.done, len(moved.blackout_ms)) == ((old.port_id,), times)
        assert announced == [new]
        assert orders.sides([pair]) == {old.port_id: Side.HERE}
        # The binding still says the old side, and so does whoever asked before.
        assert orders.states([old]) == {old.port_id: VifState.UP}
        assert orders.mend(old, 1, asked_at) is VifState.UP
        orders.stage({old.port_id: new}, time.monotonic())
        assert orders.states([old]) == {old.port_id: VifState.UP}
        run("ovs-vsctl", "del-port", new.tap_name)
        assert orders.sides([pair]) == {old.port_id: Side.NOWHERE}
        assert orders.mend(old, 1, time.monotonic()) is VifState.UP
        assert orders.sides([pair]) == {old.port_id: Side.THERE}
        orders.stage({}, time.monotonic())
        assert orders.states([new]) == {old.port_id: VifState.ABSENT}
        assert not orders.rewire(rewire(RewireStep.PREPARE, new, old, epoch=2), announced.append).failed
        with pytest.raises(StaleEpoch):
            orders.rewire(rewire(RewireStep.MOVE, new, old), announced.append)
    both.pluggers.unplug(old.port_id)
