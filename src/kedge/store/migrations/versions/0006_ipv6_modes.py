"""How the guests of a subnet of IPv6 come by their addresses."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; no subnet that is there has a mode."""
    op.add_column("subnets", sa.Column("ipv6_ra_mode", sa.String(16)))
    op.add_column("subnets", sa.Column("ipv6_address_mode", sa.String(16)))
