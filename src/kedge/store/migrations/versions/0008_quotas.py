"""How much single projects may have."""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; no project has limits of its own."""
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("resource", sa.String(16), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_quotas")),
        sa.CheckConstraint("resource IN ('network', 'subnet', 'port')", name=op.f("ck_quotas_resource")),
        sa.CheckConstraint('"limit" >= -1', name=op.f("ck_quotas_limit")),
    )
