"""Ports that go over from one switch of their host to another."""

import sqlalchemy as sa
from alembic import op

from kedge.store.columns import UtcDateTime

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; nothing is being rewired yet."""
    op.create_table(
        "rewirings",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("server_id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("backend", sa.String(64), nullable=False),
        sa.Column("ports", sa.JSON(), nullable=False),
        sa.Column("abort_requested", sa.Boolean(), nullable=False),
        sa.Column("committed", sa.Boolean(), nullable=False),
        sa.Column("prepared", sa.Boolean(), nullable=False),
        sa.Column("left", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rewirings")),
        sa.UniqueConstraint("id", name=op.f("uq_rewirings_id")),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name=op.f("fk_rewirings_server_id"), ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rewirings_server_id"), "rewirings", ["server_id"])
    op.create_index(op.f("ix_rewirings_host"), "rewirings", ["host"])
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "uq_rewirings_unfinished",
        "rewirings",
        ["server_id"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
