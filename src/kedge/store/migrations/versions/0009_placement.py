"""Labels, disabled hosts, limits of hosts, and what servers take."""

from dataclasses import asdict

import sqlalchemy as sa
from alembic import op

from kedge.core.domain_xml.parse import parse
from kedge.core.placement.demand import demand_of
from kedge.model.errors import BadRequest

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None

_SERVERS = sa.table(
    "servers", sa.column("id", sa.String), sa.column("xml", sa.Text), sa.column("demand", sa.JSON)
)


def upgrade() -> None:
    """Add what is new. Servers take what their XML says; no host has settings."""
    for table, column in (
        ("servers", "labels"),
        ("servers", "demand"),
        ("migrations", "demand"),
        ("migrations", "rooms"),
    ):
        op.add_column(table, sa.Column(column, sa.JSON(), nullable=False, server_default="{}"))
    op.create_table(
        "host_settings",
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("disabled", sa.String(255), nullable=True),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_host_settings")),
        sa.ForeignKeyConstraint(
            ["host"], ["hosts.name"], name=op.f("fk_host_settings_host"), ondelete="CASCADE"
        ),
    )
    connection = op.get_bind()
    for server_id, xml in connection.execute(sa.select(_SERVERS.c.id, _SERVERS.c.xml)).all():
        try:
            demand = asdict(demand_of(parse(xml))) if xml else {}
        except BadRequest:  # no domain XML, so nothing that Kedge wrote
            continue
        connection.execute(sa.update(_SERVERS).where(_SERVERS.c.id == server_id).values(demand=demand))
