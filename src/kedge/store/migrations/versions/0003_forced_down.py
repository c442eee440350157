"""Hosts that an operator has said to be off."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; no host is forced down."""
    op.add_column("hosts", sa.Column("forced_down", sa.Boolean(), nullable=False, server_default=sa.false()))
