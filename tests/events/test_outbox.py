"""What is told of ports: when, in which order, and never of what did not happen."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from kedge.model.domain import VifState
from kedge.network.errors import PortNotFound
from kedge.store import outbox, reading, transaction
from kedge.store.tables import EventRow

from .conftest import SERVER, Ports


def test_a_device_that_comes_up_and_goes_down(ports: Ports) -> None:
    port = ports.make()
    ports.report("h1", port, state=VifState.BUILD)
    assert ports.short() == []
    for state in (VifState.UP, VifState.UP, VifState.BUILD, VifState.UP, VifState.ABSENT):
        ports.report("h1", port, state=state)
    told = ["plugged", "unplugged", "plugged", "unplugged"]
    assert ports.short() == [(name, port.id, "h1") for name in told]
    assert {(each.server_id, each.status) for each in ports.told()} == {(SERVER, "completed")}
    assert ports.told()[0].at == ports.world.now


def test_a_migration_is_told_of_its_destination_while_the_port_stays_active(ports: Ports) -> None:
    port = ports.make()
    ports.report("h1", port)
    ports.world.service.bind(port.id, "h2")
    ports.report("h2", port)
    assert ports.short() == [("plugged", port.id, "h1"), ("plugged", port.id, "h2")]
    ports.world.service.switch(SERVER, "h2")
    ports.report("h1")
    assert len(ports.short()) == 2, "what is taken away on the source is nobody's loss"
    ports.report("h2")
    assert ports.short()[2:] == [("unplugged", port.id, "h2")]


def test_a_deleted_port(ports: Ports) -> None:
    bound, port = ports.make(), ports.make()
    ports.world.service.unbind(port.id, "h1", even_active=True)
    ports.world.service.delete_port(bound.id)
    ports.world.service.delete_port(port.id)
    assert ports.short() == [("deleted", bound.id, "h1"), ("deleted", port.id, "")]


def test_a_port_of_no_server_names_none(ports: Ports) -> None:
    port = ports.make("dhcp-1", owner="network:dhcp")
    ports.report("h1", port)
    assert [(each.name, each.server_id) for each in ports.told()] == [("network-vif-plugged", "")]


def test_what_is_rolled_back_is_not_told(ports: Ports) -> None:
    port = ports.make()
    with pytest.raises(RuntimeError), ports.world.service.write() as work:
        outbox.add(work.session, "x", work.now)
        raise RuntimeError
    with pytest.raises(PortNotFound):
        ports.world.service.delete_port("11111111-2222-3333-4444-555555555555")
    ports.report("h1", port)
    assert ports.short() == [("plugged", port.id, "h1")]


def test_old_events_go_but_the_numbers_go_on(ports: Ports) -> None:
    port = ports.make()
    for state in (VifState.UP, VifState.ABSENT, VifState.UP):
        ports.report("h1", port, state=state)
    numbers = [each.number for each in ports.told()]
    with transaction(ports.world.engine) as session:
        outbox.mark_sent(session, numbers[:1], ports.world.now)
    ports.world.pass_time(3600)
    with transaction(ports.world.engine) as session:
        assert outbox.prune(session, ports.world.now - timedelta(hours=2)) == (0, 0)
        assert outbox.prune(session, ports.world.now) == (2, 1), "one of the two was never sent"
        assert outbox.prune(session, ports.world.now) == (0, 0), "the last one stays"
    ports.report("h1")
    assert [each.number for each in ports.told()] == [numbers[2], numbers[2] + 1]


def test_filters(ports: Ports) -> None:
    first, second, third = ports.make(), ports.make(), ports.make("another")
    ports.report("h1", first, second, third)
    with reading(ports.world.engine) as session:

        def found(**filters: list[str]) -> set[str]:
            return {each.port_id for each in outbox.between(session, 0, 99, 99, **filters)}

        assert found() == {first.id, second.id, third.id}
        assert found(server_ids=["another"]) == {third.id}
        assert found(port_ids=[first.id, third.id]) == {first.id, third.id}
        assert found(server_ids=["another"], port_ids=[first.id]) == set()


def test_nobody_reads_past_a_number_that_is_still_to_come(ports: Ports, database: str) -> None:
    """On PostgreSQL a later number may be there before an earlier one; on SQLite never."""
    engine, now = ports.world.engine, ports.world.now
    with transaction(engine) as session:
        outbox.add(session, "a", now - timedelta(hours=1))
    with reading(engine) as session:
        assert outbox.tip(session, now) == 1
    if database == "sqlite":
        return
    slow = engine.connect()
    begun = slow.begin()
    slow.execute(insert(EventRow).values(name="slow", at=now, server_id="", port_id="", host="", status=""))
    with transaction(engine) as session:
        outbox.add(session, "quick", now)
    with reading(engine) as session:
        assert outbox.tip(session, now) == 1, "number 2 may come yet"
        assert outbox.ends(session)[1] == 3
    begun.commit()
    slow.close()
    with reading(engine) as session:
        assert outbox.tip(session, now) == 3
    with engine.begin() as connection:
        connection.execute(text("SELECT nextval('events_number_seq')"))
    with transaction(engine) as session:
        outbox.add(session, "after a rollback", now)
    with reading(engine) as session:
        assert outbox.tip(session, now) == 3
        assert outbox.tip(session, now + timedelta(seconds=6)) == 5, "number 4 will never come"
