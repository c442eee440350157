"""Operations whose migrations all have one policy."""

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; until now every server's label named its policy."""
    op.add_column("operations", sa.Column("policy", sa.String(63), nullable=True))
