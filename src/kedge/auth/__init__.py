"""Who calls, and who may call what. `rules` is the table."""

from kedge.model.caller import Identity, Role

from .audit import Audited, Trail
from .errors import Unauthenticated
from .guard import Guard, Strategy
from .setup import client_tls, guarded, open_strategy, warn_of_plain_text

__all__ = [
    "Audited",
    "Guard",
    "Identity",
    "Role",
    "Strategy",
    "Trail",
    "Unauthenticated",
    "client_tls",
    "guarded",
    "open_strategy",
    "warn_of_plain_text",
]
