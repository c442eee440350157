"""Which VIFs are taken for leftovers."""

import pytest

from kedge.agent.domains.interface_devices import devices_by_mac, names_used
from kedge.agent.repair_and_cleanup.unused_vifs import Decision, decide
from kedge.model.domain import VifReport, VifState

PORT = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-2222-3333-4444-555555555555"
VIF = VifReport(PORT, VifState.UP, ("tap11111111-22", "qbr11111111-22"))


def look(
    *,
    bound: tuple[str, ...] = (),
    used: tuple[str, ...] = (),
    suspects: tuple[str, ...] = (PORT,),
    age_s: float = 0.1,
    plugged: tuple[VifReport, ...] = (VIF,),
) -> Decision:
    return decide(plugged, bound=bound, used=used, suspects=suspects, age_s=age_s, period_s=2.0)


def test_the_second_look_unplugs() -> None:
    first = look(suspects=())
    assert first == Decision(suspects=frozenset({PORT}))
    assert look(suspects=tuple(first.suspects)) == Decision(unplug=frozenset({PORT}))


def test_a_binding_explains() -> None:
    assert look(bound=(PORT,)) == Decision()


@pytest.mark.parametrize("name", [PORT, "tap11111111-22", "qbr11111111-22"])
def test_a_domain_that_uses_it_explains(name: str) -> None:
    assert look(used=(name,)) == Decision()


def test_another_ports_binding_or_device_does_not() -> None:
    assert look(bound=(OTHER,), used=("tap99999999-22",)).unplug == {PORT}


def test_being_explained_once_begins_the_count_anew() -> None:
    explained = look(bound=(PORT,))
    assert look(suspects=tuple(explained.suspects)) == Decision(suspects=frozenset({PORT}))


def test_old_duties_are_no_ground() -> None:
    assert look(age_s=5.9).unplug == {PORT}
    assert look(age_s=6.1) == Decision()


def test_nothing_plugged_nothing_to_do() -> None:
    assert look(plugged=()) == Decision()


XML = """<domain><devices>
  <interface type='ethernet'><mac address='FA:16:3E:00:00:01'/><target dev='tap1' managed='no'/></interface>
  <interface type='direct'><mac address='fa:16:3e:00:00:02'/><source dev='eth1'/><target dev='macvtap7'/></interface>
  <interface type='bridge'><mac address='fa:16:3e:00:00:03'/><source bridge='br-int'/>
    <virtualport type='openvswitch'><parameters interfaceid='port-3'/></virtualport></interface>
</devices></domain>"""


def test_what_a_domain_uses_is_its_own_and_not_what_carries_it() -> None:
    assert names_used(XML) == {"tap1", "macvtap7", "port-3"}


def test_devices_are_found_by_mac() -> None:
    assert devices_by_mac(XML) == {"fa:16:3e:00:00:01": "tap1", "fa:16:3e:00:00:02": "macvtap7"}
