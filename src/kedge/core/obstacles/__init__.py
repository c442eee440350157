"""What is in the way of a move, one module per kind: pure functions over what both hosts hold.

Each answers with one reason per obstacle, which names the thing and the remedy.
"""

from .taken_name import name_obstacles

__all__ = ["name_obstacles"]
