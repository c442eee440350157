"""A MAC is the same however it is written, wherever it comes from: libvirt, Neutron, an agent."""

import pytest

from kedge.agent.domains.interface_devices import devices_by_mac
from kedge.core.domain_xml import attachments, nic_of
from kedge.core.guest_macs import guest_macs_obstacle
from kedge.model.network import NetworkType, Port, Segment, Vif, VifType
from kedge.wire.encoding import from_json, to_json
from kedge.wire.messages import ObserveRequest

MAC = "fa:16:3e:00:0a:01"
SPELLINGS = (MAC, MAC.upper(), "fa:16:3e:0:a:1", " FA:16:3E:0:A:1\n")


def vif(mac: str, vif_type: VifType = VifType.BRIDGE) -> Vif:
    return Vif("3f1c2a7e-5b7d-4c7e", "n1", mac, Segment(NetworkType.FLAT, "physnet1"), vif_type)


def domain(mac: str) -> str:
    return (
        f"<domain><devices><interface type='ethernet'><mac address='{mac}'/><target dev='tap3f1c2a7e-5b'/>"
        "<driver queues='4'/></interface></devices></domain>"
    )


@pytest.mark.parametrize("mac", SPELLINGS)
def test_ports_and_vifs_have_it_in_its_normal_form(mac: str) -> None:
    assert Port("p1", "n1", mac).mac_address == MAC
    assert vif(mac).mac_address == MAC
    sent = to_json(ObserveRequest((vif(MAC),))).decode().replace(MAC, mac.strip())
    assert from_json(ObserveRequest, sent).vifs == (vif(MAC),)


@pytest.mark.parametrize("written", SPELLINGS)
@pytest.mark.parametrize("mac", SPELLINGS)
def test_a_nic_is_found_by_it(mac: str, written: str) -> None:
    """In a domain's XML (by which queues are looked up), on its host, and among what a switch has heard."""
    assert devices_by_mac(domain(written)) == {vif(mac).mac_address: "tap3f1c2a7e-5b"}
    (nic,) = attachments(domain(written))
    assert nic_of(vif(mac), [nic]) is nic
    assert {nic.mac: nic.queues}[vif(mac).mac_address] == 4
    assert guest_macs_obstacle(vif(mac, VifType.MACVTAP), [MAC], follows=False) is None
