from dataclasses import replace

import pytest

from kedge.core.domain_xml import (
    DiskSpec,
    DomainSpec,
    NicChange,
    NicSpec,
    attachments,
    build,
    guest_visible_differences,
    parse,
    rewrite,
)
from kedge.model.errors import BadRequest
from kedge.model.network import Vif, VifType

from .fleet import BACKENDS, HOSTS, MACS, PAIRS, PORTS, changes
from .schema import assert_valid

SERVER = DomainSpec(
    uuid="c0ffee00-7d1e-4f0a-9d0b-2f7f3d6f1b5a",
    name="web-1",
    memory_mib=256,
    virt_type="qemu",
    kernel="/boot/vmlinuz",
    initrd="/boot/initrd",
    cmdline="console=ttyS0 a='<b>' & \"c\"",
)


def with_nics(backend: str, **options: object) -> DomainSpec:
    return replace(SERVER, nics=tuple(NicSpec(vif, **options) for vif in HOSTS[backend]))  # type: ignore[arg-type]


def with_mtu(vifs: tuple[Vif, Vif], mtu: int) -> list[Vif]:
    return [replace(vif, mtu=mtu) for vif in vifs]


@pytest.mark.parametrize("backend", HOSTS)
@pytest.mark.parametrize(
    "options", [{}, {"queues": 4}, {"offloads": False}, {"queues": 2, "offloads": False}]
)
def test_libvirts_schema_accepts_it(backend: str, options: dict[str, object]) -> None:
    assert_valid(build(with_nics(backend, **options)))


@pytest.mark.parametrize(
    "spec",
    [
        SERVER,
        replace(
            SERVER, serial_log="/var/log/x.log", cpu_model="Nehalem", virt_type="kvm", vcpus=3, machine="pc"
        ),
        replace(
            SERVER,
            kernel=None,
            initrd=None,
            cmdline=None,
            disks=(DiskSpec("/a.qcow2"), DiskSpec("/b", "raw")),
        ),
        replace(SERVER, disks=tuple(DiskSpec(f"/{n}.qcow2") for n in range(30))),
    ],
)
def test_libvirts_schema_accepts_other_servers(spec: DomainSpec) -> None:
    assert_valid(build(spec))


def test_it_says_what_was_asked_for() -> None:
    root = parse(build(replace(SERVER, vcpus=2, serial_log="/log")))
    assert root.get("type") == "qemu"
    assert root.findtext("name") == "web-1"
    assert root.findtext("uuid") == SERVER.uuid
    assert root.findtext("memory") == "256"
    assert root.findtext("vcpu") == "2"
    assert root.findtext("os/cmdline") == SERVER.cmdline
    source = root.find("devices/serial/source")
    assert source is not None and source.get("path") == "/log"


def test_disks_are_named_as_linux_names_them() -> None:
    root = parse(build(replace(SERVER, disks=tuple(DiskSpec(f"/{n}") for n in range(28)))))
    assert [target.get("dev") for target in root.findall("devices/disk/target")][24:] == [
        "vdy",
        "vdz",
        "vdaa",
        "vdab",
    ]


def test_its_nics_are_those_of_the_ports() -> None:
    nics = attachments(build(with_nics("macvtap-eth1", queues=2)))
    assert [nic.mac for nic in nics] == list(MACS)
    assert [nic.kind for nic in nics] == ["ethernet", "ethernet"]
    assert [nic.target_dev for nic in nics] == [f"tap{port[:11]}" for port in PORTS]
    assert [nic.alias for nic in nics] == [f"ua-{port}" for port in PORTS]
    assert [nic.queues for nic in nics] == [2, 2]


def test_offloads_are_left_to_libvirt_or_all_off() -> None:
    assert parse(build(with_nics("ovs-native"))).findall(".//driver") == []
    drivers = parse(build(with_nics("ovs-native", offloads=False))).findall("devices/interface/driver")
    assert len(drivers) == 2
    for driver in drivers:
        host, guest = driver
        assert (host.tag, guest.tag) == ("host", "guest")
        assert host.items() == [(name, "off") for name in ("csum", "gso", "tso4", "tso6", "ecn", "ufo")]
        assert guest.items() == [(name, "off") for name in ("csum", "tso4", "tso6", "ecn", "ufo")]


@pytest.mark.parametrize("backend", HOSTS)
def test_the_mtu_of_the_network_is_told_to_the_guest_unless_it_is_ethernets(backend: str) -> None:
    big = with_mtu(HOSTS[backend], 1450)
    xml = build(replace(SERVER, nics=tuple(map(NicSpec, big))))
    assert_valid(xml)
    assert [nic.mtu for nic in attachments(xml)] == [1450, 1450]
    for vifs in HOSTS.values():
        there = rewrite(xml, [NicChange(None, vif) for vif in with_mtu(vifs, 1450)])
        assert [nic.mtu for nic in attachments(there)] == [1450, 1450]
        assert guest_visible_differences(xml, there) == []
    assert "mtu" not in build(replace(SERVER, nics=tuple(map(NicSpec, HOSTS[backend]))))


@pytest.mark.parametrize("options", [{}, {"queues": 2}, {"offloads": False}])
@pytest.mark.parametrize("mtu", [1450, 1500])
def test_it_is_the_same_text_on_every_host(mtu: int, options: dict[str, object]) -> None:
    """Whatever the backend, but for Open vSwitch ports that libvirt makes; and so a move between them changes none."""
    texts = set()
    for vifs in BACKENDS.values():
        nics = tuple(NicSpec(vif, **options) for vif in with_mtu(vifs, mtu))  # type: ignore[arg-type]
        texts.add(build(replace(SERVER, nics=nics)))
    (text,) = texts
    for source, target in PAIRS:
        assert rewrite(text, changes(source, target)) == text


def test_a_built_domain_moves_to_every_backend_and_back() -> None:
    for source in HOSTS:
        xml = build(with_nics(source, queues=2))
        for target in HOSTS:
            there = rewrite(
                xml, [NicChange(*vifs) for vifs in zip(HOSTS[source], HOSTS[target], strict=True)]
            )
            assert there == build(with_nics(target, queues=2))
            assert guest_visible_differences(xml, there) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(SERVER, virt_type="xen"), "'xen' can't be made"),
        (replace(SERVER, kernel=None), "nothing to boot"),
        (replace(SERVER, memory_mib=0), "at least 1 MiB"),
        (replace(SERVER, vcpus=0), "1 virtual CPU"),
        (replace(SERVER, disks=(DiskSpec("/a.vmdk", "vmdk"),)), "'vmdk'"),
        (
            replace(SERVER, nics=(NicSpec(replace(BACKENDS["ovs-native"][0], vif_type=VifType.UNBOUND)),)),
            "can't be a NIC: .*'unbound'",
        ),
    ],
)
def test_what_can_not_be_is_refused(spec: DomainSpec, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        build(spec)
