"""Servers are found by their names, and migrations by their epochs and destinations, without reading all of them."""

from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the indexes."""
    op.create_index(op.f("ix_servers_name"), "servers", ["name"])
    op.create_index(op.f("ix_migrations_epoch"), "migrations", ["epoch"])
    op.create_index(op.f("ix_migrations_destination"), "migrations", ["destination"])
