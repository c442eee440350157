"""Bringing a database to the present schema."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, func, select

_LOCK = 0x6B65646765  # "kedge"; any number that nothing else locks in this database


def upgrade(engine: Engine) -> None:
    """Run the migrations that this database has not seen, all in one transaction. Run it at every start."""
    config = Config()
    config.set_main_option("script_location", "kedge.store:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Control planes that start together take turns; on SQLite every transaction does.
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
