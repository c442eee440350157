"""Operations that level hosts."""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

_KINDS = "kind IN ('drain', 'restore', 'servers', 'rebalance')"


def upgrade() -> None:
    """Add what is new; no operation so far levels hosts."""
    # SQLite changes a constraint by making the table anew, and dropping the old one deletes what refers to its rows.
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM operation_items")
    with op.batch_alter_table("operations", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(op.f("ck_operations_kind"), type_="check")
        table.create_check_constraint(op.f("ck_operations_kind"), _KINDS)
        table.add_column(sa.Column("levelling", sa.JSON(), nullable=True))
    if sqlite:
        op.execute("INSERT INTO operation_items SELECT * FROM kept")
        op.execute("DROP TABLE kept")
    op.add_column("operation_items", sa.Column("hosts", sa.JSON(), nullable=False, server_default="[]"))
