"""Hosts that say on which network their migrations come in."""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new, which agents report."""
    op.add_column(
        "hosts", sa.Column("migration_network", sa.String(63), nullable=False, server_default=sa.text("''"))
    )
