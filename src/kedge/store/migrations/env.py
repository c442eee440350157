"""What Alembic runs: the migrations, on the connection that `kedge.store.schema.upgrade` gives."""

from alembic import context

from kedge.store import tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.NetworkRow.metadata
)
context.run_migrations()
