"""A running server's ports go over from one switch of their host to another: what is done next, pure."""

from .decide import MOST_TRIES, decide
from .seen import Act, Action, Port, Seen, Tap

__all__ = ["MOST_TRIES", "Act", "Action", "Port", "Seen", "Tap", "decide"]
