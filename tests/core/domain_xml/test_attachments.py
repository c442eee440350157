import pytest

from kedge.core.domain_xml import Attachment, attachments

MAC = "<mac address='FA:16:3E:11:22:33'/>"


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (
            "<interface type='bridge'>"
            + MAC
            + "<source bridge='br-int'/><vlan trunk='yes'><tag id='5'/><tag id='6'/></vlan>"
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
            Attachment(kind="direct", source_dev="eth1", mode="bridge"),
        ),
        ("<interface/>", Attachment(kind="")),
    ],
)
def test_an_interface_is_read(interface: str, expected: Attachment) -> None:
    assert attachments(f"<domain><devices>{interface}</devices></domain>") == [expected]


def test_a_domain_without_interfaces_has_none() -> None:
    assert attachments("<domain><devices/></domain>") == []
    assert attachments("<domain/>") == []
