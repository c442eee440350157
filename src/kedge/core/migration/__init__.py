"""Deciding what a migration's next action is."""

from .decide import MAX_ORDERS, decide
from .observation import Act, Action, BindingView, Intent, Observation, Outcome, Plugged, Role, Side

__all__ = [
    "MAX_ORDERS",
    "Act",
    "Action",
    "BindingView",
    "Intent",
    "Observation",
    "Outcome",
    "Plugged",
    "Role",
    "Side",
    "decide",
]
