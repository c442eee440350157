"""The database: its tables, their constraints, and how transactions are made. SQLite now, PostgreSQL too."""

from .clock import ahead_ns, now
from .engine import (
    batched,
    checkpoint,
    in_words,
    is_retryable,
    is_trouble,
    lock_name,
    locks_rows,
    look,
    one_statement,
    open_database,
    reading,
    single_statement,
    statements,
    transaction,
)
from .schema import upgrade

__all__ = [
    "ahead_ns",
    "batched",
    "checkpoint",
    "in_words",
    "is_retryable",
    "is_trouble",
    "lock_name",
    "locks_rows",
    "look",
    "now",
    "one_statement",
    "open_database",
    "reading",
    "single_statement",
    "statements",
    "transaction",
    "upgrade",
]
