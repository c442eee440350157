"""Which VIFs are mended: those of domains here, as Kedge plugs them, of which something is missing."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.repair_and_cleanup.broken_vifs import Mender
from kedge.agent.vif import Pluggers
from kedge.agent.vif.orders import VifOrders
from kedge.model.domain import VifState
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.wire.messages import PlugOrder, UnplugOrder

from ..agent_stand_ins import NotedVifs

MAC = "fa:16:3e:00:00:01"
PORT = "11111111-2222-3333-4444-555555555555"
TAP = f"tap{PORT[:11]}"


def vif(vif_type: VifType = VifType.BRIDGE, mac: str = MAC, port_id: str = PORT) -> Vif:
    return Vif(port_id, "net", mac, Segment(NetworkType.FLAT, "physnet1"), vif_type)


def xml(interface: str) -> str:
    return f"<domain><devices>{interface}</devices></domain>"


def ethernet(target: str, queues: int = 1, mac: str = MAC.upper()) -> str:
    return xml(
        f"<interface type='ethernet'><mac address='{mac}'/><target dev='{target}' managed='no'/>"
        f"<model type='virtio'/><driver name='vhost' queues='{queues}'/></interface>"
    )


DIRECT = xml(
    f"<interface type='direct'><mac address='{MAC}'/><source dev='eth1'/><target dev='mv0'/></interface>"
)


@dataclass
class Parts:
    noted: NotedVifs
    orders: VifOrders
    changes: list[int] = field(default_factory=list)


@pytest.fixture
def parts(vifs: NotedVifs, tmp_path: object) -> Parts:
    changes: list[int] = []
    orders = VifOrders(cast(Pluggers, vifs), Epochs(tmp_path / "e.json"), lambda: changes.append(1))  # type: ignore[operator]
    return Parts(vifs, orders, changes)


def test_what_is_missing_is_plugged_again_with_the_nics_queues(parts: Parts) -> None:
    assert Mender(parts.orders).mend([vif()], [ethernet(TAP, queues=4)], 1.0)
    assert parts.noted.mended == [(PORT, 4)]
    assert parts.changes == [1]


def test_what_is_whole_is_not_touched(parts: Parts) -> None:
    parts.noted.made[PORT] = vif()
    assert Mender(parts.orders).mend([vif()], [ethernet(TAP)], 1.0)
    assert parts.noted.mended == []


@pytest.mark.parametrize(
    "xmls", [[], [DIRECT], [ethernet("vnet3")], [ethernet(TAP, mac="fa:16:3e:00:00:09")]]
)
def test_what_no_domain_here_uses_is_not_plugged(parts: Parts, xmls: list[str]) -> None:
    assert Mender(parts.orders).mend([vif()], xmls, 1.0)
    assert parts.noted.mended == []


def test_what_was_unplugged_since_the_duties_were_asked_for_stays_so(parts: Parts) -> None:
    parts.orders.plug(PlugOrder((vif(),)))
    parts.orders.unplug(UnplugOrder((PORT,)))
    assert not Mender(parts.orders).mend([vif()], [ethernet(TAP)], 1.0)
    assert parts.noted.mended == []
    assert Mender(parts.orders).mend([vif()], [ethernet(TAP)], 1e12)
    assert parts.noted.mended == [(PORT, 1)]


def test_a_host_that_does_not_tell_is_not_whole_and_not_touched(parts: Parts) -> None:
    parts.noted.fails = True
    assert not Mender(parts.orders).mend([vif()], [ethernet(TAP)], 1.0)
    assert parts.noted.mended == []


def test_one_that_fails_does_not_keep_the_next_from_being_mended(parts: Parts) -> None:
    other = "99999999-2222-3333-4444-555555555555"
    parts.noted.refused.add(PORT)
    xmls = [ethernet(TAP), ethernet(f"tap{other[:11]}")]
    assert not Mender(parts.orders).mend([vif(), vif(port_id=other)], xmls, 1.0)
    assert parts.noted.state(vif(port_id=other)) is VifState.BUILD
