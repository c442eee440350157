"""The virtual machine and what runs it: machine, CPU, devices, memory, the two libvirts, and what they hold."""

from dataclasses import replace

import pytest

from kedge.core.obstacles import asks_destination, asks_source, notes
from kedge.model.host_facts import DomainFacts, HostFacts, HypervisorFacts, MachineWanted, MemoryFacts

from .asking import HERE, THERE, UUID, asked, codes, domain, found

GIB = 1 << 30
CAPABILITIES = (
    "<domainCapabilities><devices>"
    "<video supported='yes'><enum name='modelType'><value>vga</value><value>virtio</value></enum></video>"
    "<rng supported='yes'><enum name='backendModel'><value>random</value></enum></rng>"
    "<tpm supported='no'/><disk supported='yes'><enum name='bus'><value>virtio</value></enum></disk>"
    "</devices></domainCapabilities>"
)


def there(**facts: object) -> HostFacts:
    return replace(THERE, hypervisor=HypervisorFacts(**facts))  # type: ignore[arg-type]


def test_a_machine_that_can_not_run_there() -> None:
    facts = there(machine_problem="the machine 'pc-q35-99' is not supported", capabilities=CAPABILITIES)
    (obstacle,) = found(
        "<tpm model='tpm-crb'/>", "<os><type machine='pc-q35-99'>hvm</type></os>", there=facts
    )
    assert (obstacle.code, obstacle.thing) == ("machine-unsupported", "machine pc-q35-99 (kvm)")
    assert "libvirt on b says: the machine 'pc-q35-99' is not supported" in obstacle.problem


def test_a_cpu_that_the_destination_can_not_give() -> None:
    (obstacle,) = found(there=there(cpu_problem="the CPU is incompatible with host CPU: avx512f"))
    assert obstacle.code == "cpu-incompatible" and "avx512f" in obstacle.problem


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ("<cpu><feature policy='require' name='invtsc'/></cpu>", ["cpu-invtsc"]),
        ("<cpu><feature policy='disable' name='invtsc'/></cpu>", []),
        (
            "<cpu><feature policy='require' name='invtsc'/></cpu>"
            "<clock offset='utc'><timer name='tsc' frequency='3504000000'/></clock>",
            [],
        ),
    ],
)
def test_an_invariant_tsc_needs_a_frequency(above: str, expected: list[str]) -> None:
    assert codes("", above) == expected


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("<video><model type='qxl'/></video>", ["device-unsupported"]),
        ("<video><model type='virtio'/></video>", []),
        ("<tpm model='tpm-crb'/>", ["device-unsupported"]),
        ("<disk type='network'><target dev='sda' bus='sata'/></disk>", ["device-unsupported"]),
        ("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>", []),
        ("<rng model='virtio'><backend model='egd'/></rng>", ["device-unsupported"]),
    ],
)
def test_a_device_that_qemu_there_lacks(device: str, expected: list[str]) -> None:
    assert codes(device, there=there(capabilities=CAPABILITIES)) == expected
    for unreadable in ("", "<domain", "<a/>", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'):
        assert codes(device, there=there(capabilities=unreadable)) == []


@pytest.mark.parametrize(
    ("above", "memory", "expected"),
    [
        ("<memory unit='KiB'>2097152</memory>", MemoryFacts(8 * GIB, 2 * GIB), []),
        ("<memory unit='KiB'>2097152</memory>", MemoryFacts(8 * GIB, 2 * GIB - 1), ["memory-short"]),
        ("<memory unit='KiB'>2097152</memory>", MemoryFacts(8 * GIB, 3 * GIB, 2 * GIB), ["memory-short"]),
        (
            "<memory unit='GiB'>2</memory><currentMemory unit='GiB'>1</currentMemory>",
            MemoryFacts(8 * GIB, GIB),
            [],
        ),
        ("<memory>99999999</memory>", MemoryFacts(), []),
    ],
)
def test_memory_that_is_left(above: str, memory: MemoryFacts, expected: list[str]) -> None:
    assert codes("", above, there=replace(THERE, memory=memory)) == expected


HUGE = "<memory unit='MiB'>64</memory><memoryBacking><hugepages>{page}</hugepages></memoryBacking>"


@pytest.mark.parametrize(
    ("page", "free", "expected"),
    [
        ("", {2 << 20: 32}, []),
        ("", {2 << 20: 31}, ["huge-pages-short"]),
        ("<page size='2048' unit='KiB'/>", {2 << 20: 31}, ["huge-pages-short"]),
        ("<page size='1' unit='G'/>", {2 << 20: 32}, ["huge-pages-short"]),
        ("<page size='1' unit='G'/>", {GIB: 1}, []),
        ("", {}, []),
    ],
)
def test_huge_pages_that_are_free(page: str, free: dict[int, int], expected: list[str]) -> None:
    memory = MemoryFacts(8 * GIB, 1, huge_pages=free, huge_page=2 << 20)
    assert codes("", HUGE.format(page=page), there=replace(THERE, memory=memory)) == expected


def test_what_libvirt_holds_to_the_domain() -> None:
    here = replace(HERE, domain=DomainFacts(snapshots=2, block_jobs=("vda", "vdb")))
    assert [(each.code, each.thing) for each in found(here=here)] == [
        ("snapshots", "snapshots"),
        ("block-job", "disk vda"),
        ("block-job", "disk vdb"),
    ]


@pytest.mark.parametrize(
    ("devices", "above", "expected"),
    [
        ("<sound model='usb'/>", "", 1),
        ("<sound model='ich9'/>", "", 0),
        ("<smartcard mode='host'/>", "", 1),
        ("<smartcard mode='passthrough'/>", "", 0),
        ("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>", "", 1),
        ("<video><model type='virtio'><acceleration accel3d='no'/></model></video>", "", 0),
        ("", "<launchSecurity type='sev'/>", 1),
    ],
)
def test_what_qemu_can_not_migrate(devices: str, above: str, expected: int) -> None:
    assert codes(devices, above) == ["device-unmigratable"] * expected


def test_the_source_must_reach_the_destinations_libvirt() -> None:
    here = replace(HERE, hypervisor=HypervisorFacts(connect_problem="Connection refused"))
    (obstacle,) = found(here=here)
    assert obstacle.code == "libvirt-unreachable"
    assert "a can't connect to qemu+tls://b/system: Connection refused" in obstacle.problem


def test_libvirt_must_tell_the_hosts_apart() -> None:
    here = replace(HERE, hypervisor=HypervisorFacts(uuid="u"))
    assert codes(here=here, there=there(uuid="u")) == ["same-identity"]
    assert codes(here=here, there=there(uuid="v")) == []


def test_a_move_to_older_software_is_a_note() -> None:
    here = replace(HERE, hypervisor=HypervisorFacts(libvirt_version=10_000_000, qemu_version=8_002_001))
    question = asked(here=here, there=there(libvirt_version=9_000_000, qemu_version=8_002_001))
    (note,) = notes(question)
    assert "libvirt is 9.0.0 on b, older than 10.0.0 on a" in note
    assert list(notes(asked(here=here, there=HostFacts()))) == []


@pytest.mark.parametrize(
    ("cpu", "compared", "host"),
    [
        ("<cpu mode='custom' check='full'><model>Haswell</model></cpu>", True, False),
        ("<cpu mode='custom' check='partial'><model>Haswell</model></cpu>", True, False),
        ("<cpu mode='custom' check='none'><model>Haswell</model></cpu>", False, False),
        ("<cpu mode='host-passthrough' check='none'/>", False, True),
        ("", False, False),
    ],
)
def test_the_destination_is_asked_about_the_running_guests_cpu(cpu: str, compared: bool, host: bool) -> None:
    here = replace(HERE, hypervisor=HypervisorFacts(cpu="<cpu/>"))
    machine = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"
    live = f"<domain type='kvm'>{cpu}</domain>"
    request = asks_destination(domain("<emulator>/q</emulator>", machine), live, here)
    assert (request.cpu.replace('"', "'"), request.host_cpu) == (
        cpu if compared else "",
        "<cpu/>" if host else "",
    )
    assert request.name == "vm"
    assert request.machine == MachineWanted("/q", "x86_64", "q35", "kvm")


def test_what_the_source_is_asked() -> None:
    request = asks_source(
        domain("<disk><source file='/d'/><target dev='vda'/></disk>"), "qemu+tls://b/system"
    )
    assert (request.server_id, request.disks, request.paths) == (UUID, ("vda",), ("/d",))
    assert request.connect_to == "qemu+tls://b/system" and request.machine is None
