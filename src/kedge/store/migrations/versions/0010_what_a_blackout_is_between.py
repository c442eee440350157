"""Between what a migration's blackout was measured."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add what is new; what was measured so far was between the VM's own frames."""
    op.add_column("migrations", sa.Column("network_blackout_between", sa.String(16)))
    op.execute(
        "UPDATE migrations SET network_blackout_between = 'frame frame' WHERE network_blackout_ms IS NOT NULL"
    )
