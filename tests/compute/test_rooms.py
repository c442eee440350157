"""Room on hosts is promised once: in the transaction that begins a migration, whatever plans saw before."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from kedge.compute.operations.records import OperationRecords
from kedge.compute.records.host_settings import HostSettingsRecords
from kedge.compute.records.migrations import MigrationRecords
from kedge.compute.records.rooms import Room, Rooms, RoomTaken
from kedge.compute.records.servers import ServerRecords
from kedge.core.placement import Load
from kedge.model.errors import CannotMigrate
from kedge.model.host_facts import MemoryFacts
from kedge.model.operation import Abort, Operation, OperationKind, OperationLimits
from kedge.model.placement import Demand, HostLimits
from kedge.model.server import Migration, MigrationOptions, MigrationStatus, Server
from kedge.network.local import LocalNetworkService
from kedge.store import now, open_database
from kedge.wire.messages import HostReport

from ..databases import BOTH, copy_of

GIB = 1 << 30
COUNT = 8
OPTIONS = MigrationOptions()
HOSTS = ("a", "b", "c")
XML = "<domain><memory unit='GiB'>1</memory><vcpu>2</vcpu></domain>"


def name(number: int) -> str:
    return f"5c4f0a52-0a3d-4a8e-9a3e-{number:012x}"


def fill(engine: Engine) -> None:
    for host in HOSTS:
        LocalNetworkService(engine).record_host(HostReport(host, "", (), "", ""))
    for number in range(COUNT):
        ServerRecords(engine).add(Server(name(number), f"vm{number}", "a", "ACTIVE"), XML)


@dataclass
class Records:
    engine: Engine

    def __post_init__(self) -> None:
        self.servers = ServerRecords(self.engine)
        self.migrations = MigrationRecords(self.engine)
        self.settings = HostSettingsRecords(self.engine)
        self.rooms = Rooms(self.engine)

    def room(self, gib: float, host: str = "b") -> Room:
        """What a plan sees that looks now, of a host with so much memory."""
        seen = self.rooms.look(name(0), host).room
        return replace(seen, memory=MemoryFacts(int(gib * GIB), int(gib * GIB)), demand=Demand(GIB, 2))

    def begin(self, number: int, room: Room | Mapping[str, Room], *hosts: str) -> Migration:
        first, *others = hosts or ("b",)
        rooms = room if isinstance(room, Mapping) else dict.fromkeys((first, *others), room)
        return self.migrations.add(self.servers.find(name(number)), first, OPTIONS, others, rooms=rooms)

    def end(self, migration: Migration, status: MigrationStatus, *, retry: bool = False) -> Migration:
        epoch = self.migrations.take_over(migration.id)
        if status is MigrationStatus.COMPLETED:
            self.servers.change(migration.server_id, status="ACTIVE", host=migration.destination)
        self.migrations.finish(migration.id, epoch, status, {}, retry=retry)
        return self.migrations.find(migration.id)

    def at_once(self, begin: Callable[[int], Migration]) -> list[Migration]:
        """What was begun of all that is tried at one instant."""
        barrier = threading.Barrier(COUNT)

        def try_it(number: int) -> Migration | None:
            barrier.wait()
            try:
                return begin(number)
            except CannotMigrate:
                return None

        with ThreadPoolExecutor(COUNT) as pool:
            return [each for each in pool.map(try_it, range(COUNT)) if each is not None]


@pytest.fixture(params=BOTH)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    with copy_of(request.param, fill, tmp_path) as url:
        engine = open_database(url)
        yield Records(engine)
        engine.dispose()


# Races.


def test_the_same_memory_is_promised_once(records: Records) -> None:
    room = records.room(3.5)
    for _ in range(3):
        begun = records.at_once(lambda number: records.begin(number, room))
        assert len(begun) == 3
        for migration in begun:
            records.end(migration, MigrationStatus.FAILED)


def test_two_members_of_a_group_that_set_out_at_once_do_not_meet(records: Records) -> None:
    for number in range(COUNT):
        records.servers.label(name(number), {"anti-affinity": "web"})
    begun = records.at_once(lambda number: records.begin(number, Room(), "b", "c"))
    assert sorted(each.destination for each in begun) == ["b", "c"]


def test_nothing_sets_out_for_a_host_once_it_is_said_to_be_disabled(records: Records) -> None:
    started = threading.Barrier(2)

    def disable() -> int:
        started.wait()
        records.settings.disable("b", "new disks")
        return len(records.migrations.all())

    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(disable)
        started.wait()
        begun = 0
        for number in range(COUNT):
            try:
                records.begin(number, Room())
                begun += 1
            except CannotMigrate as error:
                assert "is disabled: new disks" in str(error)
        assert counted.result() == begun


# What counts.


def test_the_second_is_refused_with_the_arithmetic(records: Records) -> None:
    room = records.room(1.5)
    records.begin(0, room)
    with pytest.raises(CannotMigrate) as refused:
        records.begin(1, room)
    assert refused.value.reasons == (
        "memory: the VM has 1024 MiB, and servers on b are promised 1024 MiB of the 1536 MiB that they may have there"
        " (1536 MiB); choose another host, move other VMs away first, or let it promise more (`kedge hosts limits b`)",
        "memory: the VM has 1024 MiB, and b has 1536 of 1536 MiB available, 1024 MiB of them promised to VMs that are"
        " arriving; choose another host, or move other VMs away first",
    )
    assert len(records.migrations.all()) == 1
    assert records.servers.find(name(1)).status == "ACTIVE"


@pytest.mark.parametrize("status", [MigrationStatus.FAILED, MigrationStatus.COMPLETED])
def test_a_promise_ends_with_its_migration(records: Records, status: MigrationStatus) -> None:
    """What arrived since the host was asked is not in what it said; a plan that is made now sees it there."""
    before = records.room(1.5)
    records.end(records.begin(0, before), status)
    fails = status is MigrationStatus.COMPLETED
    arrived = replace(before, memory=MemoryFacts(64 * GIB, 3 * GIB // 2))
    if fails:
        with pytest.raises(CannotMigrate, match="1024 MiB of them promised"):
            records.begin(1, arrived)
    later = replace(records.room(64), memory=MemoryFacts(64 * GIB, GIB))
    records.begin(1, later if fails else arrived)


def test_memory_that_arrives_already_is_counted_by_the_host_only(records: Records) -> None:
    first = records.begin(0, records.room(4))
    epoch = records.migrations.take_over(first.id)
    records.migrations.write(first.id, epoch, progress={"memory_processed": 0})
    assert records.room(4).copying == ()
    records.migrations.write(first.id, epoch, progress={"memory_processed": 4096})
    seen = records.room(4)
    assert seen.copying == (first.id,)
    records.begin(1, replace(seen, memory=MemoryFacts(4 * GIB, GIB)))
    with pytest.raises(CannotMigrate, match="1024 MiB of them promised"):
        records.begin(2, replace(seen, memory=MemoryFacts(4 * GIB, GIB)))


def test_servers_that_are_there_count_unless_they_are_shut_off(records: Records) -> None:
    records.servers.change(name(1), host="b")
    with pytest.raises(CannotMigrate, match="promised 1024 MiB of the 1536"):
        records.begin(0, records.room(1.5))
    records.servers.change(name(1), status="SHUTOFF")
    records.begin(0, records.room(1.5))


def test_limits_hold_without_facts(records: Records) -> None:
    records.settings.limit("b", HostLimits(vcpus=3))
    records.begin(0, {})
    with pytest.raises(CannotMigrate, match="2 virtual CPUs, and servers on b have 2 of the 3"):
        records.begin(1, {})


def test_the_next_host_is_promised_where_the_first_is_full(records: Records) -> None:
    rooms = {"b": records.room(1.5), "c": records.room(1.5, "c")}
    assert records.begin(0, rooms, "b", "c").destination == "b"
    second = records.begin(1, rooms, "b", "c")
    assert (second.destination, second.candidates) == ("c", ())
    with pytest.raises(CannotMigrate) as refused:
        records.begin(2, rooms, "b", "c")
    assert [each[:3] for each in refused.value.reasons] == ["b: ", "b: ", "c: ", "c: "]


def test_a_candidate_that_has_filled_up_is_not_tried(records: Records) -> None:
    rooms = {"b": records.room(1.5), "c": records.room(1.5, "c")}
    first = records.begin(0, rooms, "b", "c")
    records.begin(1, rooms, "c")
    ended = records.end(first, MigrationStatus.FAILED, retry=True)
    assert ended.next_id is None
    assert (ended.error or "").startswith("no other host could be tried: memory: the VM has 1024 MiB")
    assert records.migrations.unfinished() == [records.migrations.all()[0].id]


def test_a_candidate_is_promised_room_when_its_turn_comes(records: Records) -> None:
    rooms = {"b": records.room(1.5), "c": records.room(1.5, "c")}
    ended = records.end(records.begin(0, rooms, "b", "c"), MigrationStatus.FAILED, retry=True)
    assert ended.next_id is not None
    assert records.migrations.find(ended.next_id).destination == "c"
    with pytest.raises(CannotMigrate):
        records.begin(1, rooms, "c")
    records.begin(1, rooms, "b")


def plan(records: Records, planned: Mapping[int, str]) -> Operation:
    servers = [records.servers.find(name(number)) for number in planned]
    return OperationRecords(records.engine).add(
        OperationKind.SERVERS,
        "",
        (),
        servers,
        destinations={},
        levelling=None,
        limits=OperationLimits(),
        prediction={},
        planned={name(number): host for number, host in planned.items()},
        memory=dict.fromkeys(HOSTS, MemoryFacts(int(1.5 * GIB), int(1.5 * GIB))),
    )


def test_what_an_operation_plans_counts_for_others(records: Records) -> None:
    operation = plan(records, {0: "b", 1: "c"})
    room = records.room(1.5)
    with pytest.raises(
        CannotMigrate, match="promised 1024 MiB, 1024 MiB of them for moves that operations plan"
    ):
        records.begin(2, room)
    assert records.begin(0, room).destination == "b"
    hosts = LocalNetworkService(records.engine).hosts()
    fleet = records.rooms.fleet(hosts, with_migrations=False)
    assert [fleet.load(host).memory // GIB for host in HOSTS] == [COUNT, 1, 1]
    assert fleet.unplanned(name(1)).load("c") == Load()
    OperationRecords(records.engine).abort(operation.id, Abort.FINISH_RUNNING)
    assert records.rooms.fleet(hosts, with_migrations=False).load("c") == Load()


def test_operations_that_are_stored_at_once_do_not_plan_the_same_memory(records: Records) -> None:
    barrier = threading.Barrier(COUNT)

    def store(number: int) -> str | None:
        barrier.wait(60)
        try:
            return plan(records, {number: "b"}).items[0].planned
        except RoomTaken as error:
            assert "promised 1024 MiB, 1024 MiB of them for moves" in str(error)
            return None

    with ThreadPoolExecutor(COUNT) as pool:
        stored = list(pool.map(store, range(COUNT)))
    assert sorted(stored, key=str) == [None] * (COUNT - 1) + ["b"]


def test_a_room_as_it_is_kept(records: Records) -> None:
    memory = MemoryFacts(4, 3, 2, {2 << 20: 7}, 2 << 20)
    for room in (Room(), Room(Demand(GIB, 2, 0), memory, now(records.engine), ("one",))):
        assert Room.of(room.stored()) == room


def test_a_migration_of_an_earlier_kedge_promises_nothing(records: Records) -> None:
    records.begin(0, Room())
    with records.engine.begin() as connection:
        connection.execute(text("UPDATE migrations SET demand = '{}', rooms = '{}'"))
    records.begin(1, records.room(1.5))
