"""Take the secrets out of the servers' XML, which earlier versions stored."""

import sqlalchemy as sa
from alembic import op

from kedge.core.domain_xml.secrets import without_secrets
from kedge.model.errors import BadRequest

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

_SERVERS = sa.table("servers", sa.column("id", sa.String), sa.column("xml", sa.Text))


def upgrade() -> None:
    """Store each XML as it would be stored today."""
    connection = op.get_bind()
    for server_id, xml in connection.execute(sa.select(_SERVERS.c.id, _SERVERS.c.xml)).all():
        try:
            shown = without_secrets(xml) if xml else xml
        except BadRequest:  # no domain XML, so nothing that Kedge wrote
            continue
        if shown != xml:
            connection.execute(sa.update(_SERVERS).where(_SERVERS.c.id == server_id).values(xml=shown))
