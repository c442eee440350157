"""What must hold for every interface, whatever the guest side in it is."""

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from kedge.core.domain_xml import NicChange, guest_visible_differences, rewrite
from kedge.core.domain_xml.host_side import HOST_SIDE_TAGS
from kedge.model.network import NetworkType, Segment, Vif, VifType

from .limits import guest_limits

# A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The guest's side as libvirt prints it after the host's, each with all it may say; a NIC has any of them.
GUEST_SIDE = (
    "<model type='virtio'/>",
    "<driver name='qemu' queues='4' rx_queue_size='1024' iommu='on' ats='on' packed='on' page_per_vq='on'>"
    "<host csum='off' gso='off'/><guest csum='off' tso4='off'/></driver>",
    "<teaming type='persistent'/>",
    "<tune><sndbuf>1600</sndbuf></tune>",
    "<link state='down'/>",
    "<mtu size='9000'/>",
    "<boot order='2'/>",
    "<alias name='ua-mine'/>",
    "<rom bar='off' file='/etc/fake.rom'/>",
    "<acpi index='4'/>",
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>",
)
STRANGERS = (
    "<!-- a comment -->",
    "<?instruction in='side'?>",
)
BANDWIDTHS = (
    "<bandwidth><inbound average='1000' peak='5000' burst='1024'/><outbound average='128'/></bandwidth>",
    "<bandwidth><inbound average='1000' peak='5000' burst='1024'/></bandwidth>",
    "<bandwidth><outbound average='128'/></bandwidth>",
)
# Type, what stands before a bandwidth limit, and what behind it.
HOST_SIDES: tuple[tuple[str, list[str], list[str]], ...] = (
    ("direct", ["<source dev='em1' mode='vepa'/>"], ["<target dev='macvtap4'/>"]),
    (
        "bridge",
        ["<source bridge='br0'/>", "<vlan><tag id='5'/></vlan>", "<virtualport type='openvswitch'/>"],
        ["<target dev='vnet2'/>"],
    ),
    ("network", ["<source network='default'/>"], []),
    ("ethernet", [], ["<script path='/x'/>", "<target dev='tap7' managed='no'/>"]),
)

segments = st.builds(
    Segment, st.sampled_from(NetworkType), st.sampled_from(["physnet1", "physnet2"]), st.none()
)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=15)
details = st.one_of(
    st.tuples(
        st.just(VifType.MACVTAP),
        st.fixed_dictionaries(
            {"macvtap_source": names, "macvtap_mode": st.sampled_from(["bridge", "vepa", "private"])}
        ),
    ),
    st.tuples(
        st.just(VifType.OVS),
        st.fixed_dictionaries(
            {"bridge_name": names, "ovs_hybrid_plug": st.booleans(), "ovs_create_tap": st.booleans()}
        ),
    ),
    st.tuples(st.just(VifType.BRIDGE), st.fixed_dictionaries({"bridge_name": names})),
)


@st.composite
def two_hosts(draw: st.DrawFn) -> list[tuple[Vif, Vif]]:
    """Up to four ports, each with its VIF on two hosts."""
    ids = draw(st.lists(st.uuids().map(str), min_size=1, max_size=4, unique_by=lambda port_id: port_id[:11]))
    ports = []
    for number, port_id in enumerate(ids):
        segment = draw(segments)
        mac = f"fa:16:3e:00:00:{number:02x}"
        here, there = (
            Vif(port_id, f"net-{number}", mac, segment, vif_type, vif_details)
            for vif_type, vif_details in (draw(details), draw(details))
        )
        ports.append((here, there))
    return ports


def _interface(vif: Vif, kind: str, parts: Sequence[str]) -> str:
    inner = "".join(f"\n      {part}" for part in [f"<mac address='{vif.mac_address}'/>", *parts])
    return f"\n    <interface type='{kind}'>{inner}\n    </interface>"


def _domain(interfaces: Sequence[str]) -> str:
    return (
        f"<domain type='kvm'>\n  <name>x</name>\n  <devices>{''.join(interfaces)}\n  </devices>\n</domain>\n"
    )


@st.composite
def servers(draw: st.DrawFn, *, in_order: bool) -> tuple[str, list[tuple[Vif, Vif]]]:
    """A domain XML and its ports; `in_order` keeps to the order in which libvirt prints."""
    ports = draw(two_hosts())
    interfaces = []
    for vif, _ in ports:
        guest_side = [part for part in GUEST_SIDE if draw(st.booleans())]
        guest_side += draw(st.lists(st.sampled_from(STRANGERS), max_size=3))
        kind, before, behind = draw(st.sampled_from(HOST_SIDES))
        bandwidth = draw(st.lists(st.sampled_from(BANDWIDTHS), max_size=1))
        parts = [*before, *bandwidth, *behind, *guest_side]
        if not in_order:
            parts = draw(st.permutations(parts))
        interfaces.append(_interface(vif, kind, parts))
    return _domain(interfaces), ports


def arrival(ports: Sequence[tuple[Vif, Vif]]) -> list[NicChange]:
    """To the first host, from where Kedge did not attach it."""
    return [NicChange(None, source) for source, _ in ports]


def there(ports: Sequence[tuple[Vif, Vif]]) -> list[NicChange]:
    return [NicChange(source, target) for source, target in ports]


def back(ports: Sequence[tuple[Vif, Vif]]) -> list[NicChange]:
    return [NicChange(target, source) for source, target in ports]


def again(ports: Sequence[tuple[Vif, Vif]]) -> list[NicChange]:
    return [NicChange(target, target) for _, target in ports]


def straight_there(ports: Sequence[tuple[Vif, Vif]]) -> list[NicChange]:
    return [NicChange(None, target) for _, target in ports]


def kept(xml: str) -> list[list[bytes]]:
    """Of each interface, all that is neither the host side nor a limit, in its order."""
    return [
        [
            b"<bandwidth>" if child.tag == "bandwidth" else etree.tostring(child, with_tail=False)
            for child in interface
            if child.tag not in (*HOST_SIDE_TAGS, "script")
        ]
        for interface in etree.fromstring(xml).iter("interface")
    ]


def limits(xml: str, vifs: Sequence[Vif | None]) -> list[dict[str, dict[str, str]]]:
    """Of each interface, what its guest may receive and send on its VIF."""
    interfaces = etree.fromstring(xml).iter("interface")
    return [guest_limits(interface, vif) for interface, vif in zip(interfaces, vifs, strict=True)]


@given(servers(in_order=False))
@UNHURRIED
def test_all_but_the_host_side_survives_in_its_order(server: tuple[str, list[tuple[Vif, Vif]]]) -> None:
    xml, ports = server
    rewritten = rewrite(xml, there(ports))
    assert kept(rewritten) == kept(xml)
    assert guest_visible_differences(xml, rewritten) == []


@given(servers(in_order=False))
@UNHURRIED
def test_the_limits_of_what_the_guest_receives_and_sends_stay_theirs(
    server: tuple[str, list[tuple[Vif, Vif]]],
) -> None:
    xml, ports = server
    first, second = zip(*ports, strict=True)
    here = rewrite(xml, arrival(ports))
    assert limits(here, first) == limits(xml, [None] * len(ports))
    assert limits(rewrite(here, there(ports)), second) == limits(here, first)


@given(servers(in_order=False))
@UNHURRIED
def test_what_is_there_stays_as_it_is(server: tuple[str, list[tuple[Vif, Vif]]]) -> None:
    xml, ports = server
    once = rewrite(xml, there(ports))
    assert rewrite(once, again(ports)) == once


@given(servers(in_order=True))
@settings(UNHURRIED, max_examples=200)
def test_there_and_back_gives_the_original(server: tuple[str, list[tuple[Vif, Vif]]]) -> None:
    """The original is a domain that Kedge attached, and that libvirt printed."""
    xml, ports = server
    original = rewrite(xml, arrival(ports))
    assert rewrite(rewrite(original, there(ports)), back(ports)) == original


@given(servers(in_order=True))
@UNHURRIED
def test_where_it_came_from_does_not_show(server: tuple[str, list[tuple[Vif, Vif]]]) -> None:
    xml, ports = server
    assert rewrite(rewrite(xml, arrival(ports)), there(ports)) == rewrite(xml, straight_there(ports))


@given(servers(in_order=False), st.randoms(use_true_random=False))
@UNHURRIED
def test_the_order_of_the_ports_does_not_matter(
    server: tuple[str, list[tuple[Vif, Vif]]], random: object
) -> None:
    xml, ports = server
    shuffled = there(ports)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rewrite(xml, shuffled) == rewrite(xml, there(ports))
