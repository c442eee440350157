"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("libvirt_uri", sa.String(length=255), nullable=False),
        sa.Column("migrate_uri", sa.String(length=255), nullable=False),
        sa.Column("libvirt_version", sa.Integer(), nullable=False),
        sa.Column("running", sa.JSON(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hosts")),
    )
    op.create_table(
        "networks",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("network_type", sa.String(length=16), nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=True),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(network_type = 'vlan') = (segmentation_id IS NOT NULL)", name=op.f("ck_networks_vlan_has_id")
        ),
        sa.CheckConstraint("network_type IN ('flat', 'vlan')", name=op.f("ck_networks_network_type")),
        sa.CheckConstraint("mtu BETWEEN 68 AND 65535", name=op.f("ck_networks_mtu")),
        sa.CheckConstraint("segmentation_id BETWEEN 1 AND 4094", name=op.f("ck_networks_segmentation_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_networks")),
        sa.UniqueConstraint("id", name=op.f("uq_networks_id")),
    )
    op.create_index(
        "uq_networks_flat",
        "networks",
        ["physical_network"],
        unique=True,
        sqlite_where=sa.text("network_type = 'flat'"),
        postgresql_where=sa.text("network_type = 'flat'"),
    )
    op.create_index(
        "uq_networks_vlan",
        "networks",
        ["physical_network", "segmentation_id"],
        unique=True,
        sqlite_where=sa.text("network_type = 'vlan'"),
        postgresql_where=sa.text("network_type = 'vlan'"),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("xml", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('BUILD', 'ACTIVE', 'PAUSED', 'MIGRATING', 'SHUTOFF', 'ERROR', 'UNKNOWN')",
            name=op.f("ck_servers_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_servers")),
    )
    op.create_index(op.f("ix_servers_host"), "servers", ["host"], unique=False)
    op.create_table(
        "agents",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("driver", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("backend", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["hosts.name"], name=op.f("fk_agents_host"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("host", "driver", name=op.f("uq_agents_host_driver")),
    )
    op.create_table(
        "migrations",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("server_id", sa.String(length=36), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("destination", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("abort_requested", sa.Boolean(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("total_ms", sa.Double(), nullable=True),
        sa.Column("guest_downtime_ms", sa.Double(), nullable=True),
        sa.Column("network_blackout_ms", sa.Double(), nullable=True),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("source <> destination", name=op.f("ck_migrations_moves")),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_migrations_server_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_migrations")),
        sa.UniqueConstraint("id", name=op.f("uq_migrations_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_migrations_server_id"), "migrations", ["server_id"], unique=False)
    op.create_index(
        "uq_migrations_unfinished",
        "migrations",
        ["server_id"],
        unique=True,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "ports",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("mac_address", sa.String(length=17), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("device_id", sa.String(length=255), nullable=False),
        sa.Column("device_owner", sa.String(length=255), nullable=False),
        sa.Column("vnic_type", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("allowed_address_pairs", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_ports_network_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ports")),
        sa.UniqueConstraint("id", name=op.f("uq_ports_id")),
        sa.UniqueConstraint("network_id", "mac_address", name=op.f("uq_ports_network_id_mac_address")),
    )
    op.create_index(op.f("ix_ports_device_id"), "ports", ["device_id"], unique=False)
    op.create_table(
        "subnets",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("cidr", sa.String(length=64), nullable=False),
        sa.Column("gateway_ip", sa.String(length=64), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("ip_version IN (4, 6)", name=op.f("ck_subnets_ip_version")),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_subnets_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_subnets")),
        sa.UniqueConstraint("id", name=op.f("uq_subnets_id")),
    )
    op.create_index(op.f("ix_subnets_network_id"), "subnets", ["network_id"], unique=False)
    op.create_table(
        "addresses",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("subnet_id", sa.String(length=36), nullable=True),
        sa.Column("ip_address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_addresses_network_id")),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_addresses_port_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnets.id"], name=op.f("fk_addresses_subnet_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_addresses")),
        sa.UniqueConstraint("network_id", "ip_address", name=op.f("uq_addresses_network_id_ip_address")),
    )
    op.create_index(op.f("ix_addresses_port_id"), "addresses", ["port_id"], unique=False)
    op.create_index(op.f("ix_addresses_subnet_id"), "addresses", ["subnet_id"], unique=False)
    op.create_table(
        "bindings",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("vif_type", sa.String(length=64), nullable=False),
        sa.Column("vif_details", sa.JSON(), nullable=False),
        sa.Column("vnic_type", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("driver", sa.String(length=64), nullable=True),
        sa.Column("migration_id", sa.String(length=36), nullable=True),
        sa.Column("vif_state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status <> 'ACTIVE' OR vif_type <> 'unbound'", name=op.f("ck_bindings_active_bound")
        ),
        sa.CheckConstraint("status IN ('ACTIVE', 'INACTIVE')", name=op.f("ck_bindings_status")),
        sa.CheckConstraint("vif_state IN ('absent', 'build', 'up')", name=op.f("ck_bindings_vif_state")),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_bindings_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", "host", name=op.f("pk_bindings")),
    )
    op.create_index(op.f("ix_bindings_host"), "bindings", ["host"], unique=False)
    op.create_index(
        "uq_bindings_active",
        "bindings",
        ["port_id"],
        unique=True,
        sqlite_where=sa.text("status = 'ACTIVE'"),
        postgresql_where=sa.text("status = 'ACTIVE'"),
    )
    op.create_table(
        "migration_events",
        sa.Column("migration_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.String(length=64), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["migration_id"],
            ["migrations.id"],
            name=op.f("fk_migration_events_migration_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("migration_id", "seq", name=op.f("pk_migration_events")),
    )


def downgrade() -> None:
    """Drop all tables, with their indexes."""
    op.drop_table("migration_events")
    op.drop_table("bindings")
    op.drop_table("addresses")
    op.drop_table("subnets")
    op.drop_table("ports")
    op.drop_table("migrations")
    op.drop_table("agents")
    op.drop_table("servers")
    op.drop_table("networks")
    op.drop_table("hosts")
