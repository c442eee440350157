"""Operations on many servers."""

import sqlalchemy as sa
from alembic import op

from kedge.store.columns import UtcDateTime

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; there is no operation yet."""
    op.create_table(
        "operations",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("abort", sa.String(16), nullable=True),
        sa.Column("outcome", sa.String(16), nullable=True),
        sa.Column("prediction", sa.JSON(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_operations")),
        sa.UniqueConstraint("id", name=op.f("uq_operations_id")),
        sa.CheckConstraint("kind IN ('drain', 'restore', 'servers')", name=op.f("ck_operations_kind")),
        sqlite_autoincrement=True,
    )
    _unique_where("uq_operations_host", "operations", "host", "finished_at IS NULL AND host <> ''")
    op.create_table(
        "operation_items",
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("server_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("tried", sa.JSON(), nullable=False),
        sa.Column("left", sa.Text(), nullable=True),
        sa.Column("migration_id", sa.String(36), nullable=True),
        sa.Column("migrations", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("why", sa.JSON(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "server_id", name=op.f("pk_operation_items")),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_items_operation_id"),
            ondelete="CASCADE",
        ),
    )
    _unique_where("uq_operation_items_open", "operation_items", "server_id", "open")


def _unique_where(name: str, table: str, column: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, [column], unique=True, sqlite_where=condition, postgresql_where=condition)
