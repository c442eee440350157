"""Hosts of transitions that are changed in place."""

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; every transition so far moves servers."""
    op.add_column(
        "operation_hosts", sa.Column("in_place", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("operation_items", sa.Column("rewiring_id", sa.String(36), nullable=True))
