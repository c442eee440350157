"""The kernel's cache, the order of its modules, and the archive it starts from."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kedge.lab.initramfs import archive
from kedge.lab.kernel import Kernel, kernel
from kedge.model.errors import NotFound


@pytest.fixture
def small(tmp_path: Path) -> Kernel:
    (tmp_path / "modules.dep").write_text(
        "kernel/a/ring.ko:\nkernel/a/bus.ko: kernel/a/ring.ko\nkernel/b/net-card.ko: kernel/a/bus.ko kernel/a/ring.ko\n"
    )
    (tmp_path / "modules.builtin").write_text("kernel/c/always.ko\n")
    return Kernel(tmp_path / "vmlinuz", tmp_path, "6.1")


def test_modules_come_after_what_they_need_and_once(small: Kernel) -> None:
    files = [file.name for file in small.modules(["net_card", "bus", "always"])]
    assert files == ["ring.ko", "bus.ko", "net-card.ko"]


def test_a_module_that_does_not_exist_is_named(small: Kernel) -> None:
    with pytest.raises(NotFound, match="no module warp_drive"):
        small.modules(["bus", "warp_drive"])


@pytest.mark.lab
def test_the_kernel_is_fetched_once_however_many_ask(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        kernels = list(pool.map(kernel, [tmp_path] * 3))
    assert len(set(kernels)) == 1
    assert kernels[0].image.stat().st_size > 1_000_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernel", "kernel.lock"]
    names = [file.name for file in kernels[0].modules(["8021q", "dummy", "sch_netem", "openvswitch"])]
    assert names[-1] == "openvswitch.ko"
    before = kernels[0].image.stat()
    assert kernel(tmp_path).image.stat() == before


def test_an_archive_is_read_by_cpio_as_it_was_meant(tmp_path: Path) -> None:
    data = archive({"/bin/tool": b"#!/bin/sh\necho 1", "etc/deep/file": b""}, {"bin/link": "tool"})
    subprocess.run(["cpio", "-id", "--quiet"], input=data, cwd=tmp_path, check=True)
    assert (tmp_path / "bin/tool").read_bytes() == b"#!/bin/sh\necho 1"
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/link").readlink() == Path("tool")
    assert (tmp_path / "etc/deep/file").read_bytes() == b""
