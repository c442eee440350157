"""What stands in the way of a move is in its plan, and libvirt would indeed have refused: tried with a bare virsh."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kedge.core.obstacles import CODES
from kedge.lab import image, tour
from kedge.lab.cloud import Cloud
from kedge.lab.layout import PKI
from kedge.model.errors import CannotMigrate
from kedge.model.host_facts import FactsRequest, HostFacts, MachineWanted
from kedge.wire.encoding import from_json, to_json

from .slow import end_of, start_slowly

pytestmark = pytest.mark.lab

PAGE = Path(__file__).parents[2] / "docs" / "plan.md"
NAME = "vm-obstacles"
ADDRESS = "198.51.100.30"
SOURCE, DESTINATION = "h1", "h2"
# What Kedge's agent asks libvirt for, in virsh's words.
AS_KEDGE_ASKS = ("--live", "--p2p", "--persistent", "--undefinesource")


@pytest.fixture(scope="module")
def vm(cloud: Cloud) -> Iterator[dict[str, Any]]:
    port = tour.make_port(cloud, tour.make_networks(cloud)["blue"], ADDRESS)
    made = tour.make_server(cloud, NAME, SOURCE, [(port, ADDRESS)])
    yield made
    cloud.delete(f"/kedge/v1/servers/{made['id']}")


@pytest.fixture
def namesake(cloud: Cloud) -> Iterator[str]:
    """The UUID of another domain of the same name, defined on the destination."""
    uuid, host = str(uuid4()), cloud.lab.hosts[DESTINATION]
    host.virsh("define", "/dev/stdin", text_input=image.domain_xml(NAME, uuid, [], []))
    yield uuid
    host.virsh("undefine", uuid)


def plan(cloud: Cloud, vm: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = cloud.post(f"/kedge/v1/servers/{vm['id']}/plan", {"host": DESTINATION})
    return made


def codes(planned: dict[str, Any]) -> set[str]:
    return {each["code"] for each in planned["obstacle_details"]}


def virsh_is_told(cloud: Cloud, vm: dict[str, Any], xml: str) -> str:
    """What libvirt says to the same migration without Kedge; it must refuse it."""
    source, destination = cloud.lab.hosts[SOURCE], cloud.lab.hosts[DESTINATION]
    file = source.directory / "bare.xml"
    file.write_text(xml)
    uri = (destination.libvirt_uri, destination.migrate_uri)
    files = (f"--xml={file}", f"--persistent-xml={file}")
    answer = source.virsh("migrate", vm["id"], *uri, *AS_KEDGE_ASKS, *files, check=False)
    assert answer.returncode != 0, "libvirt took the VM, although the plan says that it would not"
    return answer.stderr


def refused(cloud: Cloud, vm: dict[str, Any], expected: set[str], libvirt_says: str) -> dict[str, Any]:
    """The plan, which names these obstacles; neither Kedge nor virsh moves the VM."""
    planned = plan(cloud, vm)
    assert codes(planned) == expected
    with pytest.raises(CannotMigrate) as refusal:
        cloud.migrate(vm["id"], DESTINATION)
    assert list(refusal.value.reasons) == planned["obstacles"]
    assert libvirt_says in virsh_is_told(cloud, vm, planned["xml_after"])
    return planned


def test_a_name_that_another_domain_has_there(cloud: Cloud, vm: dict[str, Any], namesake: str) -> None:
    planned = plan(cloud, vm)
    (obstacle,) = planned["obstacles"]
    assert f"another domain on {DESTINATION} is named {NAME} (shutoff, UUID {namesake})" in obstacle
    with pytest.raises(CannotMigrate, match=f"is named {NAME}"):
        cloud.migrate(vm["id"], DESTINATION)
    (port,) = cloud.get(f"/kedge/v1/servers/{vm['id']}")["ports"]
    assert [(each["host"], each["status"]) for each in port["bindings"]] == [(SOURCE, "ACTIVE")]
    assert cloud.lab.hosts[DESTINATION].devices() == []

    assert f"domain '{NAME}' already exists with uuid {namesake}" in virsh_is_told(
        cloud, vm, planned["xml_after"]
    )
    assert tour.answers(cloud, ADDRESS)


def test_what_the_plan_promises_happens_once_the_name_is_free(cloud: Cloud, vm: dict[str, Any]) -> None:
    assert plan(cloud, vm)["obstacles"] == []
    assert cloud.migrate(vm["id"], DESTINATION)["status"] == "completed"
    assert cloud.migrate(vm["id"], SOURCE)["status"] == "completed"


def test_snapshots_that_libvirt_has(cloud: Cloud, vm: dict[str, Any]) -> None:
    source = cloud.lab.hosts[SOURCE]
    definition = source.virsh("dumpxml", vm["id"], "--inactive").stdout
    snapshot = (
        "<domainsnapshot><name>s</name><state>shutoff</state><creationTime>1</creationTime>"
        f"<memory snapshot='no'/>{definition}</domainsnapshot>"
    )
    source.virsh("snapshot-create", vm["id"], "/dev/stdin", "--redefine", text_input=snapshot)
    try:
        refused(cloud, vm, {"snapshots"}, "cannot migrate domain with 1 snapshots")
    finally:
        source.virsh("snapshot-delete", vm["id"], "s", "--metadata")
    assert plan(cloud, vm)["obstacles"] == []


def test_a_source_that_does_not_reach_the_destinations_libvirt(cloud: Cloud, vm: dict[str, Any]) -> None:
    source, to = cloud.lab.hosts[SOURCE], f"{cloud.lab.hosts[DESTINATION].address}/32"
    source.run(["ip", "route", "add", "blackhole", to])
    try:
        refused(cloud, vm, {"libvirt-unreachable"}, "unable to connect to server")
    finally:
        source.run(["ip", "route", "del", "blackhole", to])


def test_a_server_that_the_destination_has_defined(cloud: Cloud, vm: dict[str, Any]) -> None:
    """libvirt would write over that definition; it may be all that is left of somebody's VM, so Kedge does not."""
    host = cloud.lab.hosts[DESTINATION]
    host.virsh("define", "/dev/stdin", text_input=image.domain_xml(NAME, vm["id"], [], []))
    try:
        assert codes(plan(cloud, vm)) == {"uuid-taken"}
    finally:
        host.virsh("undefine", vm["id"])


ASK = """
import sys
from pathlib import Path
from kedge.wire.agent_client import AgentClient
from kedge.model.host_facts import FactsRequest
from kedge.trust.certificates import Credentials, client_context
from kedge.wire.encoding import from_json, to_json
host, url, pki, *requests = sys.argv[1:]
own = Credentials(*(Path(pki, name) for name in ("control.pem", "control.key", "ca.pem")))
agent = AgentClient(url, client_context(own), host=host)
for request in requests:
    print(to_json(agent.facts(from_json(FactsRequest, request))).decode())
"""


def facts(cloud: Cloud, host: str, *requests: FactsRequest) -> list[HostFacts]:
    """What the host's agent answers the control plane."""
    texts = [to_json(request).decode() for request in requests]
    ask = [sys.executable, "-c", ASK, host, cloud.lab.hosts[host].agent_url, str(PKI), *texts]
    printed = cloud.lab.control.run(ask).stdout
    return [from_json(HostFacts, line) for line in printed.splitlines()]


def test_libvirt_compares_a_guests_cpu(cloud: Cloud) -> None:
    """All hosts of the lab have one CPU, so another one's is asked for."""
    machine = MachineWanted("/usr/bin/qemu-system-x86_64", "x86_64", "pc-q35-7.2", "qemu")
    cpu = "<cpu mode='custom' match='exact' check='full'><model>{}</model></cpu>"
    models = [cpu.format(model) for model in ("Nehalem", "Icelake-Server")]
    requests = [FactsRequest(machine=machine, cpu=model) for model in models]
    fits, too_new = (answer.hypervisor for answer in facts(cloud, DESTINATION, *requests))
    assert fits.cpu_problem == fits.machine_problem == ""
    assert "Host CPU does not provide required features" in too_new.cpu_problem
    assert "<domainCapabilities>" in fits.capabilities


def test_the_memory_of_a_vm_that_arrives_is_promised(cloud: Cloud, vm: dict[str, Any]) -> None:
    """And a host that a VM arrives at answers as quickly as ever."""
    assert facts(cloud, DESTINATION, FactsRequest())[0].memory.promised == 0
    migration = start_slowly(cloud, vm["id"], DESTINATION)
    began = time.monotonic()
    (answer,) = facts(cloud, DESTINATION, FactsRequest(name=NAME))
    assert time.monotonic() - began < 5
    assert 0 < answer.memory.promised <= image.MEMORY_MIB << 20
    assert answer.namesake and answer.namesake.uuid == vm["id"]
    cloud.delete(f"/kedge/v1/migrations/{migration['id']}")
    assert end_of(cloud, migration)["status"] == "cancelled"
    assert facts(cloud, DESTINATION, FactsRequest())[0].memory.promised == 0


# What h1 has for itself, in a directory that h2 has one of the same name of, and what all hosts of the lab have.
OWN = "/var/lib/libvirt/obstacles"
NIC = (
    "<interface type='direct'><mac address='52:54:00:0b:57:01'/><source dev='eth1' mode='bridge'/>"
    "<model type='virtio'/></interface>"
)
DISK = "<disk type='file'><source file='{path}'/><target dev='vda' bus='virtio'/>{more}</disk>"
CDROM = f"<disk type='file' device='cdrom'><source file='{OWN}/disk'/><target dev='sda' bus='sata'/></disk>"
VOLUME = "<disk type='volume' device='{device}'><source pool='own' volume='disk'/><target dev='sda' bus='sata'/></disk>"
POOL = f"<pool type='dir'><name>own</name><target><path>{OWN}</path></target></pool>"
FIRMWARE = (
    f"<loader readonly='yes' type='pflash'>{OWN}/code</loader>"
    f"<nvram template='{OWN}/template'>{OWN}/vars</nvram>"
)
FILES = f"""
mkdir -p {OWN}
truncate -s 1M {OWN}/disk
cp /usr/share/seabios/bios-256k.bin {OWN}/code
truncate -s 256K {OWN}/template
printf '#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 "$@"\n' > {OWN}/qemu
chmod 755 {OWN}/qemu
"""
UNSAFE = "Migration without shared storage is unsafe"


@dataclass(frozen=True)
class Odd:
    """A VM that can't move as it is.

    Attributes:
        codes: what the plan names.
        libvirt_says: to the same migration with virsh; None where it takes the VM (see `LIBVIRT_TAKES`).
        there: what is done on the destination before.
        mend: what is done there to remove the obstacle; then the VM moves.
    """

    codes: set[str]
    libvirt_says: str | None
    devices: str = ""
    os: str = ""
    emulator: str = "/usr/bin/qemu-system-x86_64"
    there: str = ""
    mend: str = ""
    memory_mib: int = 64


ODD = {
    "local disk": Odd({"disk-local", "disk-missing"}, UNSAFE, DISK.format(path=f"{OWN}/disk", more="")),
    "local disk of one machine": Odd({"disk-local"}, UNSAFE, DISK.format(path="{tmp}/disk", more="")),
    "transient disk": Odd(
        {"disk-local", "disk-transient"},
        "migration with transient disk is not supported",
        DISK.format(path="{tmp}/disk", more="<transient/>"),
    ),
    "another disk": Odd(
        {"disk-not-the-same"},
        None,
        DISK.format(path=f"{OWN}/disk", more="<readonly/>"),
        there=f"truncate -s 2M {OWN}/disk",
    ),
    "missing image": Odd(
        {"image-missing"}, "Cannot access storage file", CDROM, mend=f"truncate -s 1M {OWN}/disk"
    ),
    "another image": Odd({"image-not-the-same"}, None, CDROM, there=f"truncate -s 2M {OWN}/disk"),
    "pool": Odd({"pool-inactive"}, "Storage pool not found", VOLUME.format(device="cdrom")),
    "volume of a local pool": Odd({"pool-inactive", "disk-local"}, UNSAFE, VOLUME.format(device="disk")),
    "firmware": Odd(
        {"boot-file-missing", "nvram-missing"},
        "No such file or directory",
        os=FIRMWARE,
        mend=f"cp /usr/share/seabios/bios-256k.bin {OWN}/code; truncate -s 256K {OWN}/template",
    ),
    "firmware of another size": Odd(
        {"boot-file-differs"},
        "error: ",
        os=FIRMWARE,
        there=f"truncate -s 512K {OWN}/code; truncate -s 256K {OWN}/template",
    ),
    "emulator": Odd({"machine-unsupported"}, f"Cannot check QEMU binary {OWN}/qemu", emulator=f"{OWN}/qemu"),
    "shared memory": Odd(
        {"shared-memory"},
        "cannot migrate domain",
        "<shmem name='m'><model type='ivshmem-plain'/><size unit='M'>1</size></shmem>",
    ),
    "USB sound card": Odd(
        {"device-unmigratable"},
        "non-migratable device",
        "<controller type='usb' model='qemu-xhci'/><sound model='usb'/>",
    ),
    "shared directory": Odd(
        {"filesystem-shared"},
        None,
        "<filesystem type='mount'><source dir='/tmp'/><target dir='t'/></filesystem>",
    ),
    "memory": Odd({"memory-short"}, None, memory_mib=-1),
}

LIBVIRT_TAKES = {
    "uuid-taken": "it writes over a definition that may be all that is left of somebody's VM",
    "disk-not-the-same": "it compares no files, and the guest would read another disk than the one that it knows",
    "image-not-the-same": "it compares no files, and the guest would read another image than the one that it knows",
    "filesystem-shared": "QEMU refuses 9p only while the guest has it mounted, which nobody can see from outside",
    "memory-short": "nobody looks at it, and the kernel of the destination would kill a VM when there is none left",
    "numa-memory-short": "it looks at no node's memory, and the kernel would kill a VM that is bound to such a node",
    "nic-guest-macs": "it knows nothing of the guest's other MACs, and their frames would be lost",
    "cpu-incompatible": "it compares no CPU of a guest that sees the host's (host-passthrough)",
    "usb-device": "the guest finds it unplugged after the move, at a moment that nobody chose",
    "teamed-device": "it looks for the same device on the destination, by its address on the source",
}
"""What a plan refuses although libvirt does not, or not always, and why; docs/plan.md marks these with a star."""

NOT_MADE_HERE = {
    *(
        "same-host",
        "no-ports",
        "too-many-ports",
        "not-running",
        "job-running",
        "source-failed",
        "destination-failed",
    ),
    *(
        "forced-down",
        "agent-dead",
        "host-disabled",
        "anti-affinity",
        "memory-committed",
        "vcpus-short",
        "nic-not-bound",
        "nic-cannot-bind",
        "nic-guest-macs",
        "domain-xml",
    ),  # Kedge's own
    *(
        "disk-cache",
        "disk-passed-through",
        "tpm-of-the-host",
        "huge-pages-short",
    ),  # no such QEMU, device or pages
    *("device-passed-through", "usb-device", "teamed-device"),  # there is none to pass through
    *("cpu-incompatible", "cpu-invtsc", "device-unsupported", "same-identity"),  # all hosts are one machine
    *("numa-node-missing", "numa-memory-short", "post-copy-unsupported"),  # the same nodes and kernel
    *("parallel-unsupported", "compression-unsupported"),  # a policy's: see test_policies
}
"""Codes that no test here makes on real hosts; those of the first two lines have tests of their own elsewhere."""


@pytest.fixture(scope="module")
def files(cloud: Cloud) -> Iterator[None]:
    """What is on h1 alone, in a directory that h2 has too."""
    source, destination = cloud.lab.hosts[SOURCE], cloud.lab.hosts[DESTINATION]
    source.shell(FILES)
    source.virsh("pool-create", "/dev/stdin", text_input=POOL)
    yield
    source.virsh("pool-destroy", "own")
    for host in (source, destination):
        host.shell(f"rm -rf {OWN}")


@contextmanager
def odd_vm(cloud: Cloud, odd: Odd, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The VM as its owner made it and Kedge adopted it. Nothing boots in it, which saves time."""
    uuid, source = str(uuid4()), cloud.lab.hosts[SOURCE]
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    cloud.lab.hosts[DESTINATION].shell(f"rm -rf {OWN}; mkdir {OWN}\n{odd.there}")
    usb = "" if "usb" in odd.devices else "<controller type='usb' model='none'/>"
    memory_mib = odd.memory_mib if odd.memory_mib > 0 else more_than_is_left()
    xml = (
        f"<domain type='qemu'><name>odd</name><uuid>{uuid}</uuid><memory unit='MiB'>{memory_mib}</memory>"
        f"<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>{odd.os}</os><features><acpi/></features><devices>"
        f"<emulator>{odd.emulator}</emulator>{usb}{NIC}{odd.devices.replace('{tmp}', str(tmp_path))}"
        "<memballoon model='none'/></devices></domain>"
    )
    source.virsh("define", "/dev/stdin", text_input=xml)
    try:
        source.virsh("start", uuid)
        vm = cloud.post("/kedge/v1/servers/adopt", {"host": SOURCE, "domain": "odd"})["server"]
        yield vm
        cloud.delete(f"/kedge/v1/servers/{uuid}")
    finally:
        for host in (source, cloud.lab.hosts[DESTINATION]):
            host.virsh("destroy", uuid, check=False)
            host.virsh("undefine", uuid, "--nvram", check=False)


def more_than_is_left() -> int:
    """MiB between what is available and what there is: Linux gives it to QEMU, which does not use it."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    known = {name: int(value) for name, value, *_ in lines}
    return (known["MemTotal:"] + known["MemAvailable:"]) // 2048


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", ODD)
def test_what_libvirt_would_refuse_is_in_the_plan(cloud: Cloud, tmp_path: Path, name: str) -> None:
    odd = ODD[name]
    assert (odd.libvirt_says is None) == (odd.codes <= LIBVIRT_TAKES.keys())
    with odd_vm(cloud, odd, tmp_path) as vm:
        if odd.libvirt_says is None:
            assert codes(plan(cloud, vm)) == odd.codes
        else:
            refused(cloud, vm, odd.codes, odd.libvirt_says)
        if odd.mend:
            cloud.lab.hosts[DESTINATION].shell(odd.mend)
            assert plan(cloud, vm)["obstacles"] == []
            assert cloud.migrate(vm["id"], DESTINATION)["status"] == "completed"


@pytest.mark.usefixtures("files")
def test_a_job_on_a_disk(cloud: Cloud, tmp_path: Path) -> None:
    source = cloud.lab.hosts[SOURCE]
    with odd_vm(cloud, ODD["local disk of one machine"], tmp_path) as vm:
        source.virsh("blockcopy", vm["id"], "vda", str(tmp_path / "copy"), "--transient-job")
        refused(cloud, vm, {"block-job", "disk-local"}, "domain has active block job")
        source.virsh("blockjob", vm["id"], "vda", "--abort")
        assert codes(plan(cloud, vm)) == {"disk-local"}


def test_every_code_is_made_here_or_listed() -> None:
    made = {code for odd in ODD.values() for code in odd.codes}
    made |= {"name-taken", "uuid-taken", "snapshots", "block-job", "libvirt-unreachable"}
    assert made.isdisjoint(NOT_MADE_HERE)
    assert made | NOT_MADE_HERE == CODES.keys()


def test_the_page_marks_what_libvirt_takes() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert {code for code, rest in rows if "\\*" in rest} == LIBVIRT_TAKES.keys()
