"""Transitions: operations with hosts of their own."""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the new kind, and what is wanted and known of its hosts."""
    _allow_other_kinds()
    op.create_table(
        "operation_hosts",
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("command", sa.JSON(), nullable=True),
        sa.Column("log", sa.JSON(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("operation_id", "host", name=op.f("pk_operation_hosts")),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_hosts_operation_id"),
            ondelete="CASCADE",
        ),
    )
    condition = sa.text("open")
    op.create_index(
        "uq_operation_hosts_open",
        "operation_hosts",
        ["host"],
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def _allow_other_kinds() -> None:
    """The kinds are the model's to check: a constraint on them would be changed with each new one."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:  # It makes the table anew. With the old one go the rows that refer to it.
        op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM operation_items")
    with op.batch_alter_table("operations", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("ck_operations_kind"), type_="check")
        batch.add_column(sa.Column("transition", sa.JSON(), nullable=True))
    if is_sqlite:
        op.execute("DELETE FROM operation_items")
        op.execute("INSERT INTO operation_items SELECT * FROM kept")
        op.execute("DROP TABLE kept")
