"""Tags, allocation pools, the state of single agents, further candidates, and the outbox of events."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def _list_column(name: str) -> sa.Column[list[object]]:
    return sa.Column(name, sa.JSON(), nullable=False, server_default="[]")


def upgrade() -> None:
    """Add what is new; what there was keeps its meaning."""
    op.add_column("networks", _list_column("tags"))
    op.add_column("subnets", sa.Column("allocation_pools", sa.JSON(), nullable=True))
    for name in ("host_routes", "dns_nameservers", "tags"):
        op.add_column("subnets", _list_column(name))
    op.add_column(
        "agents", sa.Column("admin_state_up", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.add_column("agents", sa.Column("description", sa.String(length=255), nullable=True))
    op.drop_column("hosts", "admin_state_up")
    op.add_column("migrations", _list_column("candidates"))
    op.add_column("migrations", sa.Column("next_id", sa.String(length=36), nullable=True))
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("server_id", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_events_unsent",
        "events",
        ["number"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    # The address that a subnet gave out last is where the search for the next one begins.
    op.drop_index(op.f("ix_addresses_subnet_id"), "addresses")
    op.create_index(op.f("ix_addresses_subnet_id_number"), "addresses", ["subnet_id", "number"])
