"""Where operations mean to move their servers: room that is promised before a migration begins."""

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; what is under way plans nothing ahead."""
    op.add_column("operation_items", sa.Column("planned", sa.String(255), nullable=True))
    op.create_index(op.f("ix_operation_items_planned"), "operation_items", ["planned"])
