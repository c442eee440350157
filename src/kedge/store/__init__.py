"""The database: its tables, their constraints, and how transactions are made. SQLite now, PostgreSQL too."""

from .engine import open_database, reading, transaction
from .schema import upgrade

__all__ = ["open_database", "reading", "transaction", "upgrade"]
