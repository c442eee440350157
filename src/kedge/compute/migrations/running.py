"""The migrations under way, as operations look at them, whoever began them."""

from sqlalchemy import Engine, select

from kedge.core.operation import Running
from kedge.store import reading
from kedge.store.tables import MigrationRow


class RunningMigrations:
    """Every migration under way, with its share of an operation's bandwidth."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[tuple[Running, int, str]]:
        """Every one, with its epoch and id; `ours` is for the caller to say."""
        wanted = select(
            MigrationRow.server_id,
            MigrationRow.source,
            MigrationRow.destination,
            MigrationRow.abort_requested,
            MigrationRow.options,
            MigrationRow.epoch,
            MigrationRow.id,
        ).where(MigrationRow.finished_at.is_(None))
        with reading(self._engine) as session:
            return [
                (
                    Running(
                        row.server_id,
                        row.source,
                        row.destination,
                        ending=row.abort_requested,
                        bandwidth_mib=row.options.get("share_mib", 0),
                    ),
                    row.epoch,
                    row.id,
                )
                for row in session.execute(wanted)
            ]
