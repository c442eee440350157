"""A disk without room under the agent's state: new orders are refused in clear words, and what is there stays."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from kedge.agent.on_disk.half_made import HalfMade
from kedge.agent.on_disk.highest_epochs import Epochs
from kedge.agent.on_disk.json_file import write_atomically
from kedge.model.domain import DomainState, TransferOrder, TransferState
from kedge.model.errors import HostFailure, StaleEpoch
from kedge.model.network import NetworkType, Segment, Vif, VifType
from kedge.wire.messages import DiscardOrder, ObserveRequest, PlugOrder, UnplugOrder

from ...disks import fill, small_disk
from ..agent_stand_ins import Running
from ..test_app import xml_of


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """64 KiB, where the agent of these tests keeps its state; full once `fill` was called."""
    with small_disk(tmp_path / "state", "64k") as mounted:
        yield mounted


def vif() -> Vif:
    return Vif(
        str(uuid4()), "net", "fa:16:3e:00:00:01", Segment(NetworkType.FLAT, "physnet1"), VifType.MACVTAP
    )


def transfer(uuid: str, epoch: int) -> TransferOrder:
    return TransferOrder(str(uuid4()), uuid, epoch, "test:///nowhere", "tcp://127.0.0.1", "<domain/>")


@pytest.mark.lab
def test_new_orders_are_refused_and_everything_stays(disk: Path, running_agent: Running) -> None:
    client, uuid, plugged = running_agent.client, str(uuid4()), vif()
    client.create_domain(uuid, xml_of(uuid))
    client.plug(PlugOrder((plugged,), epoch=3))
    filler = fill(disk)
    other = str(uuid4())

    for order in (
        lambda: client.plug(PlugOrder((vif(),), epoch=4)),
        lambda: client.unplug(UnplugOrder((plugged.port_id,), epoch=4)),
        lambda: client.discard_domain(uuid, DiscardOrder((DomainState.RUNNING,), 4)),
        lambda: client.create_domain(other, xml_of(other)),
        lambda: client.start_transfer(transfer(uuid, 4)),
        lambda: client.abort_transfer(str(uuid4()), 4),
    ):
        with pytest.raises(HostFailure, match=r"can't write to .*No space left.*make room"):
            order()

    assert client.observe(uuid, ObserveRequest()).domain is DomainState.RUNNING
    assert set(running_agent.vifs.made) == {plugged.port_id}
    assert set(client.host().vifs) == {plugged.port_id}
    assert [path.name for path in disk.iterdir() if path.name.startswith(".")] == []
    # What was refused is not remembered either: an order of the epoch before still passes, and room helps.
    client.unplug(UnplugOrder((plugged.port_id,), epoch=3))
    filler.unlink()
    client.plug(PlugOrder((plugged,), epoch=4))
    with pytest.raises(StaleEpoch):
        client.unplug(UnplugOrder((plugged.port_id,), epoch=3))
    client.delete_domain(uuid)


@pytest.mark.lab
def test_a_transfer_that_ends_then_is_known_to_have_ended(disk: Path, running_agent: Running) -> None:
    """libvirt's test driver can't migrate, so it fails at once; that can't be written down."""
    client, uuid = running_agent.client, str(uuid4())
    client.create_domain(uuid, xml_of(uuid))
    order = transfer(uuid, 1)
    transfers = running_agent.agent.transfers
    transfers._migrate = lambda _order: fill(disk)  # type: ignore[method-assign, assignment]
    client.start_transfer(order)
    request = ObserveRequest(migration_id=order.migration_id, wait_ms=5000, seen="running/0/running")
    assert client.observe(uuid, request).transfer is TransferState.SUCCEEDED
    client.delete_domain(uuid)


def test_a_file_that_can_not_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "x", "one")
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(HostFailure, match="can't write to"):
        write_atomically(tmp_path / "x", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "one")]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0"])
def test_a_state_that_is_broken_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    for opened in (Epochs, HalfMade):
        with pytest.raises(HostFailure, match=r"state\.json"):
            opened(tmp_path / "state.json")


def refuse(_file: int) -> None:
    raise OSError(28, "No space left on device")
