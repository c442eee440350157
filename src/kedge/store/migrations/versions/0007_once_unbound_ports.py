"""Ports that were bound nowhere when their first binding was activated."""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; the first binding of a port that is there was made ACTIVE."""
    op.add_column("ports", sa.Column("was_unbound", sa.Boolean(), nullable=False, server_default=sa.false()))
