"""The migrations under way, as operations look at them, whoever began them."""

from sqlalchemy import Engine, select
from sqlalchemy.orm import aliased

from kedge.core.operation import Running
from kedge.store import reading
from kedge.store.tables import HostRow, MigrationRow


class RunningMigrations:
    """Every migration under way, with its share of an operation's bandwidth."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[tuple[Running, int, str]]:
        """Every one, with its epoch and id; `ours` is for the caller to say."""
        source, destination = aliased(HostRow), aliased(HostRow)
        wanted = select(
            MigrationRow.server_id,
            MigrationRow.source,
            MigrationRow.destination,
            MigrationRow.abort_requested,
            MigrationRow.options,
            MigrationRow.epoch,
            MigrationRow.id,
            source.migration_network.label("leaves_over"),
            destination.migration_network.label("arrives_over"),
        )
        wanted = wanted.outerjoin(source, source.name == MigrationRow.source)
        wanted = wanted.outerjoin(destination, destination.name == MigrationRow.destination)
        wanted = wanted.where(MigrationRow.finished_at.is_(None))
        with reading(self._engine) as session:
            return [
                (
                    Running(
                        row.server_id,
                        row.source,
                        row.destination,
                        ending=row.abort_requested,
                        bandwidth_mib=row.options.get("share_mib", 0),
                        networks=frozenset(filter(None, (row.leaves_over, row.arrives_over))),
                    ),
                    row.epoch,
                    row.id,
                )
                for row in session.execute(wanted)
            ]
