"""When a VM that is being migrated may pause soon, with stand-ins for libvirt."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import libvirt
import pytest

from kedge.agent.domains import transfers as module
from kedge.agent.domains.hypervisor import Hypervisor, Look
from kedge.agent.domains.libvirt_connection import Connection
from kedge.agent.domains.transfers import Transfers
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.model.domain import DomainState, TransferOrder


class Domain:
    """Migrates until it is told that this is over; its job is what a test says."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.round = 0
        self.asked = 0

    def migrateSetMaxDowntime(self, _ms: int) -> None:  # noqa: N802 - libvirt's name
        pass

    def migrateToURI3(self, *_: object) -> None:  # noqa: N802 - libvirt's name
        assert self.over.wait(60)

    def jobStats(self) -> dict[str, Any]:  # noqa: N802 - libvirt's name
        self.asked += 1
        return job(200 * self.asked, self.round) if self.round else {}


class Libvirt:
    """Stands for the connection and the hypervisor."""

    current = object()

    def __init__(self) -> None:
        self.only = Domain()

    @contextmanager
    def speaking(self, _what: str) -> Iterator[None]:
        yield

    @contextmanager
    def locked(self, _uuid: str) -> Iterator[None]:
        yield

    def look(self, _uuid: str) -> Look:
        return Look(DomainState.RUNNING, persistent=True)

    def domain(self, _uuid: str) -> Domain:
        return self.only


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def job(elapsed_ms: int, number: int) -> dict[str, Any]:
    """Of a round of copying in which nothing gets less."""
    return {
        "type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
        libvirt.VIR_DOMAIN_JOB_OPERATION: libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
        libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED: elapsed_ms,
        libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL: 1 << 30,
        libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING: 1 << 30,
        libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION: number,
    }


def test_a_vm_may_pause_soon_from_when_its_memory_is_copied_unless_most_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PROGRESS_S", 0.005)
    host, ended = Libvirt(), threading.Event()
    transfers = Transfers(
        cast(Connection, host), cast(Hypervisor, host), Epochs(tmp_path / "epochs.json"), tmp_path / "transfers.json",
        lambda _uuid: ended.set(),
    )  # fmt: skip
    transfers.start(
        TransferOrder("m", "vm", 1, "qemu+tcp://192.0.2.2/system", "tcp://192.0.2.2", "<domain/>")
    )
    wait_until(lambda: "vm" in transfers.under_way())
    asked = host.only.asked
    wait_until(lambda: host.only.asked >= asked + 3)
    assert not transfers.ends_soon("vm")  # QEMU is being started on the other host
    transfers.round_began("vm")
    assert transfers.ends_soon("vm")
    host.only.round = 1
    wait_until(lambda: not transfers.ends_soon("vm"))
    transfers.round_began("vm")
    assert not transfers.ends_soon("vm")
    host.only.round = 2
    wait_until(lambda: transfers.ends_soon("vm"))
    host.only.over.set()
    assert ended.wait(60)
    assert not transfers.ends_soon("vm")
