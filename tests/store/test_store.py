"""What the database itself refuses, and that its transactions are what they are said to be."""

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, inspect, select, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.schema import CheckConstraint

from kedge.model.errors import BadRequest, Conflict
from kedge.store import checkpoint, open_database, reading, transaction, upgrade
from kedge.store.columns import Base
from kedge.store.tables import (
    AgentRow,
    BindingRow,
    HostRow,
    MigrationEventRow,
    MigrationRow,
    NetworkRow,
    OperationRow,
    PortRow,
    ServerRow,
    SubnetRow,
)

from ..databases import BOTH, POSTGRESQL, copy_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MADE: dict[str, Any] = {"created_at": NOW, "updated_at": NOW}


@pytest.fixture(params=BOTH)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with copy_of(request.param, nothing, tmp_path) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def nothing(_engine: Engine) -> None:
    """The tables are enough."""


def network(**changes: Any) -> NetworkRow:
    values = {"id": "n1", "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 100}
    return NetworkRow(**{**values, **MADE, **changes})


def port(**changes: Any) -> PortRow:
    return PortRow(**{"id": "p1", "network_id": "n1", "mac_address": "fa:16:3e:00:00:01", **MADE, **changes})


def binding(**changes: Any) -> BindingRow:
    values = {"port_id": "p1", "host": "h1", "status": "ACTIVE", "vif_type": "ovs", "vif_state": "absent"}
    return BindingRow(**{**values, **MADE, **changes})


def migration(**changes: Any) -> MigrationRow:
    values = {"id": "m1", "server_id": "s1", "source": "h1", "destination": "h2", "status": "queued"}
    return MigrationRow(**{**values, **MADE, **changes})


def add(engine: Engine, *rows: Base) -> None:
    for row in rows:
        with transaction(engine) as session:
            session.add(row)


def refused(engine: Engine, row: Base, constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        add(engine, row)


def either(columns: str, name: str) -> str:
    """A unique constraint, as SQLite calls it in an error, and as PostgreSQL does."""
    return f"{re.escape(columns)}|{name}"


ONE_ACTIVE = either("bindings.port_id", "uq_bindings_active")
A_REFERENCE = "(?i)foreign key"


def test_the_migrations_make_the_schema_that_the_tables_describe(engine: Engine) -> None:
    # PostgreSQL can't compare the defaults of JSON columns, which have no operator "=".
    defaults = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": defaults}
        )
        assert compare_metadata(context, Base.metadata) == []
    inspector = inspect(engine)
    for table in Base.metadata.tables.values():
        described = {str(each.name) for each in table.constraints if isinstance(each, CheckConstraint)}
        assert {each["name"] for each in inspector.get_check_constraints(table.name)} == described, table.name


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    add(engine, network())
    upgrade(engine)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(NetworkRow)) == 1


def test_a_database_of_a_newer_kedge_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match=r"has schema 9999.*none newer than 0021.*Install that version again"):
        upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def _go_back_to_0003(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE networks DROP COLUMN shared"))
        connection.execute(text("ALTER TABLE ports DROP COLUMN was_unbound"))
        connection.execute(text("ALTER TABLE migrations DROP COLUMN network_blackout_between"))
        connection.execute(text("ALTER TABLE hosts DROP COLUMN migration_network"))
        connection.execute(text("DROP TABLE quotas"))
        for table in ("host_settings", "operation_hosts", "operation_items", "operations", "rewirings"):
            connection.execute(text(f"DROP TABLE {table}"))
        connection.execute(text("DROP TABLE subnet_pools"))
        for column in ("servers.labels", "servers.demand", "migrations.demand", "migrations.rooms"):
            table, _, name = column.partition(".")
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {name}"))
        connection.execute(text("DROP INDEX ix_subnets_subnetpool_id"))
        for name in ("ipv6_ra_mode", "ipv6_address_mode", "subnetpool_id"):
            connection.execute(text(f"ALTER TABLE subnets DROP COLUMN {name}"))
        for name in ("servers_name", "migrations_epoch", "migrations_destination"):
            connection.execute(text(f"DROP INDEX ix_{name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))


def test_a_network_of_an_earlier_kedge_is_not_shared(engine: Engine) -> None:
    add(engine, network(shared=True))
    _go_back_to_0003(engine)
    upgrade(engine)
    with reading(engine) as session:
        assert session.scalars(select(NetworkRow.shared)).all() == [False]


def test_a_subnet_of_an_earlier_kedge_has_no_modes(engine: Engine) -> None:
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    add(
        engine,
        network(),
        SubnetRow(id="s1", network_id="n1", ip_version=6, cidr="2001:db8::/64", **MADE, **modes),
    )
    _go_back_to_0003(engine)
    upgrade(engine)
    with reading(engine) as session:
        (row,) = session.scalars(select(SubnetRow))
    assert (row.ipv6_ra_mode, row.ipv6_address_mode) == (None, None)


def test_servers_of_an_earlier_kedge_take_what_their_xml_says(engine: Engine) -> None:
    kept = {"vm1": "<domain><memory unit='GiB'>2</memory><vcpu>3</vcpu></domain>", "vm2": "?", "vm3": None}
    for name, xml in kept.items():
        add(engine, ServerRow(id=name, name=name, host="h1", status="ACTIVE", xml=xml, **MADE))
    _go_back_to_0003(engine)
    upgrade(engine)
    with reading(engine) as session:
        found = {row.name: (row.labels, row.demand) for row in session.scalars(select(ServerRow))}
    assert found["vm1"] == ({}, {"memory": 2 << 30, "vcpus": 3, "huge_page": None})
    assert found["vm2"] == found["vm3"] == ({}, {})


def test_operations_of_an_earlier_kedge_keep_their_servers(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/kedge.db")
    config = Config()
    config.set_main_option("script_location", "kedge.store:migrations")
    config.set_main_option("path_separator", "os")
    operation = "'o1', 'drain', 'h1', '[]', '{}', 0, 0, '2026-11-01 00:00:00', '2026-11-01 00:00:00'"
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0014")
        connection.exec_driver_sql(
            "INSERT INTO operations (id, kind, host, targets, limits, paused, epoch, created_at, updated_at)"
            f" VALUES ({operation})"
        )
        connection.exec_driver_sql(
            "INSERT INTO operation_items VALUES"
            " ('o1', 's1', 'vm1', 'h1', '[]', NULL, NULL, '[]', 'waiting', '[]', 1, '[]')"
        )
    upgrade(engine)
    with reading(engine) as session:
        (row,) = session.scalars(select(OperationRow))
        assert (row.kind, row.transition, [item.name for item in row.items]) == ("drain", None, ["vm1"])
    engine.dispose()


def test_secrets_that_an_earlier_kedge_stored_are_gone(engine: Engine) -> None:
    graphics = "<devices><graphics type='vnc' passwd='{}'/></devices>"
    kept = {
        "vm1": f"<domain>{graphics.format('secret')}</domain>",
        "vm2": "<domain><name>x</name></domain>",
        "vm3": "?",
    }
    for name, xml in kept.items():
        add(engine, ServerRow(id=name, name=name, host="h1", status="ACTIVE", xml=xml, **MADE))
    _go_back_to_0003(engine)
    upgrade(engine)
    with reading(engine) as session:
        found = {row.name: row.xml for row in session.scalars(select(ServerRow))}
    assert "secret" not in str(found) and "passwd" in str(found["vm1"])
    assert (found["vm2"], found["vm3"]) == (kept["vm2"], kept["vm3"])


def test_two_active_bindings_of_a_port_are_refused(engine: Engine) -> None:
    add(engine, network(), port(), binding(), binding(host="h2", status="INACTIVE"))
    refused(engine, binding(host="h3"), ONE_ACTIVE)
    with pytest.raises(IntegrityError, match=ONE_ACTIVE), transaction(engine) as session:
        session.execute(text("UPDATE bindings SET status = 'ACTIVE'"))
    add(engine, binding(host="h3", status="INACTIVE"))


def test_two_bindings_of_a_port_on_a_host_are_refused(engine: Engine) -> None:
    add(engine, network(), port(), binding())
    refused(engine, binding(status="INACTIVE"), either("bindings.port_id, bindings.host", "pk_bindings"))


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"status": "SHY"}, "ck_bindings_status"),
        ({"vif_state": "broken"}, "ck_bindings_vif_state"),
        ({"vif_type": "unbound"}, "ck_bindings_active_bound"),
        ({"port_id": "nobody"}, A_REFERENCE),
    ],
)
def test_a_binding_that_makes_no_sense_is_refused(
    engine: Engine, changes: dict[str, str], constraint: str
) -> None:
    add(engine, network(), port())
    refused(engine, binding(**changes), constraint)


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"network_type": "vxlan"}, "ck_networks"),
        ({"network_type": "flat"}, "ck_networks_vlan_has_id"),
        ({"segmentation_id": None}, "ck_networks_vlan_has_id"),
        ({"segmentation_id": 4095}, "ck_networks_segmentation_id"),
        ({"mtu": 60}, "ck_networks_mtu"),
        ({}, either("networks.physical_network, networks.segmentation_id", "uq_networks_vlan")),
    ],
)
def test_a_network_that_makes_no_sense_is_refused(
    engine: Engine, changes: dict[str, Any], constraint: str
) -> None:
    add(engine, network())
    refused(engine, network(id="n2", **({"segmentation_id": 200} if changes else {}) | changes), constraint)


def test_two_flat_networks_on_a_physical_network_are_refused(engine: Engine) -> None:
    flat: dict[str, Any] = {"network_type": "flat", "segmentation_id": None}
    add(engine, network(), network(id="n2", **flat), network(id="n3", physical_network="physnet2", **flat))
    refused(engine, network(id="n4", **flat), either("networks.physical_network", "uq_networks_flat"))


def test_a_mac_address_may_repeat_on_another_network_only(engine: Engine) -> None:
    add(engine, network(), network(id="n2", segmentation_id=200), port(), port(id="p2", network_id="n2"))
    refused(engine, port(id="p3"), either("ports.network_id, ports.mac_address", "uq_ports"))


def test_a_server_has_one_unfinished_migration(engine: Engine) -> None:
    add(engine, ServerRow(id="s1", name="vm", host="h1", status="ACTIVE", **MADE))
    add(engine, migration(finished_at=NOW), migration(id="m2"))
    refused(engine, migration(id="m3"), either("migrations.server_id", "uq_migrations_unfinished"))
    add(engine, migration(id="m4", finished_at=NOW))
    refused(engine, migration(id="m5", destination="h1", finished_at=NOW), "ck_migrations_moves")
    refused(engine, migration(id="m6", server_id="nobody"), A_REFERENCE)


def test_a_server_has_one_of_the_known_states(engine: Engine) -> None:
    refused(engine, ServerRow(id="s1", name="vm", host="h1", status="HAPPY", **MADE), "ck_servers_status")


def test_what_belongs_to_a_row_goes_with_it(engine: Engine) -> None:
    add(
        engine,
        network(),
        port(),
        binding(),
        ServerRow(id="s1", name="vm", host="h1", status="ACTIVE", **MADE),
    )
    add(engine, migration(), MigrationEventRow(migration_id="m1", seq=1, phase="bound", at_ns=2**62))
    add(engine, HostRow(name="h1", created_at=NOW, last_seen=NOW))
    add(
        engine,
        AgentRow(
            id="a1", host="h1", driver="macvtap", position=0, backend={}, created_at=NOW, started_at=NOW
        ),
    )
    with transaction(engine) as session:
        for statement in ("DELETE FROM ports", "DELETE FROM servers", "DELETE FROM hosts"):
            session.execute(text(statement))
    with reading(engine) as session:
        for table in (BindingRow, MigrationRow, MigrationEventRow, AgentRow):
            assert session.scalar(select(func.count()).select_from(table)) == 0, table


def test_a_network_with_ports_stays(engine: Engine) -> None:
    add(engine, network(), port())
    with pytest.raises(IntegrityError, match=A_REFERENCE), transaction(engine) as session:
        session.execute(text("DELETE FROM networks"))


def test_times_keep_their_zone_and_need_one(engine: Engine) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    add(engine, network(created_at=elsewhere))
    with reading(engine) as session:
        made = session.scalars(select(NetworkRow.created_at)).one()
    assert made == NOW
    assert made.tzinfo is UTC
    with pytest.raises(StatementError, match="has no time zone"):
        add(engine, network(id="n2", segmentation_id=7, created_at=datetime(2026, 1, 1)))


def test_an_exception_rolls_the_transaction_back(engine: Engine) -> None:
    with pytest.raises(RuntimeError), transaction(engine) as session:
        session.add(network())
        session.flush()
        raise RuntimeError
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(NetworkRow)) == 0


def test_transactions_that_lock_what_they_read_lose_no_update(engine: Engine) -> None:
    add(engine, network(mtu=1000))

    def count_up() -> None:
        for _ in range(25):
            with transaction(engine) as session:
                session.scalars(select(NetworkRow).with_for_update()).one().mtu += 1

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        assert session.scalars(select(NetworkRow.mtu)).one() == 1200


def test_a_reader_is_not_kept_waiting_and_sees_one_state(engine: Engine) -> None:
    add(engine, network())
    with reading(engine) as reader:
        assert reader.scalars(select(NetworkRow.mtu)).one() == 1500
        with transaction(engine) as writer:
            writer.scalars(select(NetworkRow)).one().mtu = 9000
        assert reader.scalars(select(NetworkRow.mtu)).one() == 1500
    with reading(engine) as reader:
        assert reader.scalars(select(NetworkRow.mtu)).one() == 9000


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="can't be shared by threads"):
        open_database(url)


@pytest.mark.postgresql
def test_a_connection_that_the_server_ended_is_replaced_unseen(tmp_path: Path) -> None:
    with copy_of(POSTGRESQL, nothing, tmp_path) as url:
        engine, other = open_database(url), open_database(url)
        with reading(engine) as session:
            backend = session.scalar(text("SELECT pg_backend_pid()"))
        with transaction(other) as session:
            session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})
        with reading(engine) as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) != backend
        engine.dispose()
        other.dispose()


def test_a_checkpoint_brings_what_was_committed_into_the_database_file(
    engine: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as session:
        session.add(network(name="written"))
    checkpoint(engine)
    if engine.dialect.name != "sqlite":
        return
    alone = tmp_path / "alone.db"
    alone.write_bytes(Path(str(engine.url.database)).read_bytes())
    copied = open_database(f"sqlite:///{alone}")
    with reading(copied) as session:
        assert session.scalars(select(NetworkRow.name)).all() == ["written"]
    copied.dispose()
