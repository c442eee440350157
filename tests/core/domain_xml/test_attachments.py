import pytest

from kedge.core.domain_xml import Attachment, attachments, nic_of
from kedge.model.network import NetworkType, Segment, Vif, VifType

MAC = "<mac address='FA:16:3E:11:22:33'/>"


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (
            "<interface type='bridge'>"
            + MAC
            + "<source bridge='br-int'/><vlan><tag id='5'/><tag id='6'/></vlan>"
            "<virtualport type='openvswitch'><parameters interfaceid='abc'/></virtualport>"
            "<target dev='vnet3'/></interface>",
            Attachment(
                kind="bridge",
                mac="fa:16:3e:11:22:33",
                source_bridge="br-int",
                vlan_tags=(5, 6),
                virtualport_type="openvswitch",
                interfaceid="abc",
                target_dev="vnet3",
            ),
        ),
        (
            "<interface type='network'>"
            + MAC
            + "<source network='default' bridge='virbr0'/><model type='virtio'/>"
            "<driver queues='4'/><mtu size='9000'/><alias name='net0'/></interface>",
            Attachment(
                kind="network",
                mac="fa:16:3e:11:22:33",
                source_network="default",
                source_bridge="virbr0",
                model="virtio",
                queues=4,
                mtu=9000,
                alias="net0",
            ),
        ),
        (
            "<interface type='direct'><source dev='eth1' mode='bridge'/><mtu size='large'/></interface>",
            Attachment(kind="direct", source_dev="eth1", mode="bridge", trusts_guest=False),
        ),
        ("<interface/>", Attachment(kind="")),
    ],
)
def test_an_interface_is_read(interface: str, expected: Attachment) -> None:
    assert attachments(f"<domain><devices>{interface}</devices></domain>") == [expected]


def test_a_domain_without_interfaces_has_none() -> None:
    assert attachments("<domain><devices/></domain>") == []
    assert attachments("<domain/>") == []


PORT = "11111111-2222-3333-4444-555555555555"
TAP = f"tap{PORT[:11]}"
OWN = "fa:16:3e:00:00:01"


def vif_of_type(vif_type: VifType, mac: str = OWN) -> Vif:
    return Vif(PORT, "net", mac, Segment(NetworkType.FLAT, "physnet1"), vif_type)


@pytest.mark.parametrize(
    ("nic", "wanted", "is_it"),
    [
        (Attachment("ethernet", OWN, target_dev=TAP), vif_of_type(VifType.BRIDGE), True),
        (Attachment("ethernet", OWN, target_dev=TAP), vif_of_type(VifType.OVS, OWN.upper()), True),
        (Attachment("ethernet", OWN, target_dev="vnet3"), vif_of_type(VifType.BRIDGE), False),
        (Attachment("ethernet", "fa:16:3e:00:00:02", target_dev=TAP), vif_of_type(VifType.BRIDGE), False),
        (Attachment("ethernet", OWN, target_dev=TAP), vif_of_type(VifType.MACVTAP), True),
        (Attachment("direct", OWN, target_dev="macvtap3"), vif_of_type(VifType.MACVTAP), False),
        (Attachment("direct", OWN, target_dev="macvtap3"), vif_of_type(VifType.BRIDGE), False),
        (Attachment("bridge", OWN, target_dev="vnet3"), vif_of_type(VifType.MACVTAP), False),
    ],
)
def test_a_nic_is_that_of_a_vif_if_kedge_plugged_it(nic: Attachment, wanted: Vif, is_it: bool) -> None:
    assert (nic_of(wanted, [nic]) is nic) is is_it
