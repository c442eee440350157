"""Where a subnet's block is from."""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new. The blocks that are there were named by their makers."""
    op.add_column("subnets", sa.Column("subnetpool_id", sa.String(36), nullable=True))
