"""What an agent says of its host when a migration is planned."""

import os
import socket
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from kedge.agent.host import files, memory
from kedge.agent.host.files import HostFiles
from kedge.agent.host.hypervisor_facts import HypervisorLooks
from kedge.model.errors import BadRequest
from kedge.model.host_facts import LONGEST_PATH, MOST_FILES, FactsRequest, FileFacts, FileKind, Volume

from ..agent_stand_ins import Running
from ..test_app import xml_of


def test_what_is_at_a_path(tmp_path: Path) -> None:
    file, link = tmp_path / "disk", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    paths = [str(each) for each in (file, link, tmp_path, tmp_path / "none", file / "below", "/dev/null")]
    found = HostFiles().look(paths)
    kinds = [
        FileKind.FILE,
        FileKind.FILE,
        FileKind.DIRECTORY,
        FileKind.MISSING,
        FileKind.MISSING,
        FileKind.OTHER,
    ]
    assert [found[path].kind for path in paths] == kinds
    assert found[str(file)] == found[str(link)]
    assert (found[str(file)].inode, found[str(file)].size) == (file.stat().st_ino, 5)
    device = file.stat().st_dev
    assert found[str(file)].device == f"{os.major(device)}:{os.minor(device)}"
    assert HostFiles().look(["/proc/version"])["/proc/version"].filesystem == "proc"


def test_storage_that_does_not_let_root_in_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: str, filesystems: dict[str, str]) -> FileFacts:
        raise PermissionError(path)

    monkeypatch.setattr(files, "_file", refuses)
    assert HostFiles().look(["/", "/proc"]) == {}


def test_storage_that_hangs_holds_one_look_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, real = threading.Event(), files._file

    def hangs(path: str, filesystems: dict[str, str]) -> FileFacts:
        if path == "/hangs":
            answers.wait(20)
        return real(path, filesystems)

    monkeypatch.setattr(files, "_file", hangs)
    looks, before = HostFiles(patience_s=0.1), threading.active_count()
    assert set(looks.look(["/", "/hangs", "/proc"])) == {"/"}
    for _ in range(3):
        assert looks.look(["/"]) == {}
    assert threading.active_count() == before + 1
    answers.set()
    while threading.active_count() > before:
        pass
    assert set(looks.look(["/", "/proc"])) == {"/", "/proc"}


def test_an_agent_tells_its_hosts_facts(running_agent: Running) -> None:
    uuid = str(uuid4())
    running_agent.client.create_domain(uuid, xml_of(uuid))
    facts = running_agent.client.facts(FactsRequest(name=f"vm-{uuid}", paths=("/", "/none")))
    assert facts.machine == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert {path: each.kind for path, each in facts.files.items()} == {
        "/": FileKind.DIRECTORY,
        "/none": FileKind.MISSING,
    }
    assert facts.namesake and facts.namesake.uuid == uuid
    assert facts.pools == ("default-pool",)
    assert 0 < facts.memory.available < facts.memory.total
    assert facts.hypervisor.libvirt_version >= 9_000_000
    assert facts.troubles == ()
    assert running_agent.client.facts(FactsRequest(name="nobody")).namesake is None
    running_agent.client.delete_domain(uuid)


@pytest.mark.parametrize(
    "paths", [("relative",), ("/with\0null",), ("/" + "x" * LONGEST_PATH,), ("/x",) * (MOST_FILES + 1)]
)
def test_what_is_no_path_is_refused(running_agent: Running, paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"paths are too many|not an absolute path"):
        FactsRequest(paths=paths)
    with pytest.raises(BadRequest, match=r"paths are too many|not an absolute path"):
        running_agent.client._peer.call("POST", "/v1/facts", body={"paths": list(paths)})


def test_a_libvirt_that_does_not_answer_is_given_up(running_agent: Running) -> None:
    """One that refuses says so at once; one that is silent holds a look for as long as somebody waits, no longer."""
    refused = running_agent.client.facts(FactsRequest(connect_to="qemu+tcp://127.0.0.1:9/system"))
    assert "refused" in refused.hypervisor.connect_problem
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"qemu+tcp://127.0.0.1:{silent.getsockname()[1]}/system"
        looks = HypervisorLooks(patience_s=0.2)
        with running_agent.agent.connection.speaking("look") as connection:
            facts = looks.look(connection, FactsRequest(connect_to=uri))
    assert facts.connect_problem == f"no answer from {uri.split('/')[2]} within 0.2 s"
    assert (
        running_agent.client.facts(FactsRequest(connect_to="test:///default")).hypervisor.connect_problem
        == ""
    )


def test_what_a_qemu_has_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PIDS", tmp_path)
    (tmp_path / "vm.pid").write_text(str(os.getpid()))
    (tmp_path / "odd.pid").write_text("../1")
    assert memory.resident("vm") > 1 << 20
    assert memory.resident("odd") == memory.resident("none") == 0


def test_the_memory_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tmp_path / "hugepages-2048kB"
    pool.mkdir()
    (pool / "free_hugepages").write_text("3\n")
    monkeypatch.setattr(memory, "_HUGE_PAGES", tmp_path)
    found = memory.memory(7, 3)
    assert found.huge_pages == {2 << 20: 3} and (found.promised, found.cpus) == (7, 3)
    assert 0 < found.available < found.total


def test_what_numa_nodes_have_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_NODES", tmp_path)
    for node, free in ((0, 100), (11, 7)):
        (tmp_path / f"node{node}").mkdir()
        lines = (
            f"MemTotal: 9999 kB|MemFree: {free} kB|Active: 50 kB|Active(file): 20 kB|Inactive(file): 3 kB"
        ).split("|")
        text = "".join(f"Node {node} {line}\n" for line in lines) + f"Node {node} HugePages_Free: 1\n"
        (tmp_path / f"node{node}" / "meminfo").write_text(text)
    (tmp_path / "node3").mkdir()
    assert memory.numa_nodes() == {0: 123 << 10, 11: 30 << 10}


def test_an_agent_tells_of_its_nodes(running_agent: Running) -> None:
    nodes = {int(path.name[4:]) for path in Path("/sys/devices/system/node").glob("node[0-9]*")}
    assert running_agent.client.facts(FactsRequest()).numa.keys() == nodes


def test_a_volume_is_looked_at_where_its_pool_has_it(running_agent: Running, tmp_path: Path) -> None:
    pool = running_agent.agent.connection.get().storagePoolLookupByName("default-pool")
    pool.createXML("<volume><name>v</name><capacity>1</capacity></volume>")
    volumes = (Volume("default-pool", "v"), Volume("default-pool", "none"), Volume("no-pool", "v"))
    files = running_agent.client.facts(FactsRequest(volumes=volumes)).files
    # The test driver makes no files, so what is behind either volume is missing; of the third nothing is known.
    assert files == {"default-pool/v": FileFacts(), "default-pool/none": FileFacts()}
