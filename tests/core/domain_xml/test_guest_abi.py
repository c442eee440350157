import pytest

from kedge.core.domain_xml import guest_visible_differences

NIC = (
    "<mac address='fa:16:3e:11:22:33'/><model type='virtio'/><driver queues='2' iommu='on' ats='on' packed='on' "
    "page_per_vq='on' rx_queue_size='512' tx_queue_size='1024'><host csum='off' gso='on'/><guest csum='off'/></driver>"
    "<mtu size='1450'/><alias name='ua-x'/><boot order='1'/><rom enabled='no'/><acpi index='3'/>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>"
)


def domain(*nics: str) -> str:
    return (
        "<domain><devices>"
        + "".join(f"<interface type='direct'>{nic}</interface>" for nic in nics)
        + "</devices></domain>"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "fa:16:3e:11:22:33",
            "fa:16:3e:11:22:34",
            "the MAC is fa:16:3e:11:22:33 and would be fa:16:3e:11:22:34",
        ),
        ("<model type='virtio'/>", "<model type='e1000'/>", "the model is virtio and would be e1000"),
        ("<mtu size='1450'/>", "", "the MTU is 1450 and would be not set"),
        ("<mtu size='1450'/>", "<mtu size='1500'/>", "the MTU is 1450 and would be 1500"),
        (" iommu='on'", "", "the driver's iommu is on and would be not set"),
        (" ats='on'", " ats='off'", "the driver's ats is on and would be off"),
        (" packed='on'", "", "the driver's packed is on and would be not set"),
        (" page_per_vq='on'", "", "the driver's page_per_vq is on and would be not set"),
        ("queues='2'", "", "the number of queues is 2 and would be 1"),
        (" rx_queue_size='512'", "", "the size of receive queues is 512 and would be not set"),
        (" tx_queue_size='1024'", "", "the size of transmit queues is 1024 and would be not set"),
        (" gso='on'", "", "what the host offloads is csum=off gso=on and would be csum=off"),
        ("<guest csum='off'/>", "", "what the guest offloads is csum=off and would be not set"),
        ("slot='0x03'", "slot='0x1f'", "the address is pci 0000:00:03.0 and would be pci 0000:00:1f.0"),
        (
            "type='pci'",
            "type='ccw'",
            "the address is pci 0000:00:03.0 and would be ccw bus=0 domain=0 function=0 slot=3",
        ),
        ("<acpi index='3'/>", "", "the ACPI index is 3 and would be not set"),
        ("<alias name='ua-x'/>", "", "the alias is ua-x and would be not set"),
        ("<boot order='1'/>", "<boot order='2'/>", "the boot order is 1 and would be 2"),
        ("<rom enabled='no'/>", "", "the ROM is enabled=no and would be not set"),
    ],
)
def test_each_difference_is_a_sentence_that_names_the_nic_and_both_values(
    old: str, new: str, said: str
) -> None:
    assert old in NIC
    differences = guest_visible_differences(
        domain("<mac address='02:00:00:00:00:01'/>", NIC),
        domain("<mac address='02:00:00:00:00:01'/>", NIC.replace(old, new)),
    )
    assert differences == [f"NIC 2 (fa:16:3e:11:22:33): {said}"]


def test_another_number_of_nics() -> None:
    assert guest_visible_differences(domain(NIC, NIC), domain(NIC)) == [
        "the domain has 2 NICs and would have 1"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fa:16:3e", "FA:16:3E"),
        ("slot='0x03'", "slot='3'"),
        ("domain='0x0000' ", ""),
        ("<mac", "<source dev='eth9'/><target dev='x'/><mac"),
    ],
)
def test_what_the_guest_does_not_see_is_no_difference(old: str, new: str) -> None:
    assert guest_visible_differences(domain(NIC), domain(NIC.replace(old, new))) == []


def test_an_alias_that_libvirt_made_is_no_difference() -> None:
    assert (
        guest_visible_differences(
            domain(NIC.replace("ua-x", "net0")), domain(NIC.replace("<alias name='ua-x'/>", ""))
        )
        == []
    )


def test_an_address_that_is_no_number_is_shown_as_it_is() -> None:
    (difference,) = guest_visible_differences(domain(NIC), domain(NIC.replace("0x03", "three")))
    assert "would be pci 0:0:three.0" in difference
