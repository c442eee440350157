"""Alembic's environment; `versions` holds one module per change of the schema."""
