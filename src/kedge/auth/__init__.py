"""Who calls, and who may call what. `rules` is the table."""

from .errors import Unauthenticated
from .guard import IDENTITY, Guard, Strategy
from .identity import Identity, Role
from .projects import Owners, StoredOwners
from .setup import client_tls, guarded, open_strategy, warn_of_plain_text

__all__ = [
    "IDENTITY",
    "Guard",
    "Identity",
    "Owners",
    "Role",
    "StoredOwners",
    "Strategy",
    "Unauthenticated",
    "client_tls",
    "guarded",
    "open_strategy",
    "warn_of_plain_text",
]
