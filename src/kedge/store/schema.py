"""Bringing a database to the present schema."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, select

from kedge.model.errors import Conflict

_LOCK = 0x6B65646765  # "kedge"; any number that nothing else locks in this database


def upgrade(engine: Engine) -> None:
    """Run the migrations that this database has not seen, all in one transaction. Run it at every start.

    Raises Conflict, and changes nothing, if a newer Kedge has been at work on this database.
    """
    config = Config()
    config.set_main_option("script_location", "kedge.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Control planes that start together take turns; on SQLite every transaction does.
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _refuse_newer(connection: Connection, known: ScriptDirectory) -> None:
    revisions = {script.revision for script in known.walk_revisions()}
    for stored in MigrationContext.configure(connection).get_current_heads():
        if stored not in revisions:
            raise Conflict(
                f"The database has schema {stored}, and this Kedge knows none newer than {known.get_current_head()}:"
                " a newer Kedge has upgraded it. Install that version again, or restore the backup of the database"
                " that was made before the upgrade. Nothing was changed."
            )
