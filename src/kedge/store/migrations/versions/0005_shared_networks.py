"""Networks that are shared between projects."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; no network is shared."""
    op.add_column("networks", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))
