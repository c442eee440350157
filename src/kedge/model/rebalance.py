"""How level a rebalance makes hosts."""

from dataclasses import dataclass
from enum import StrEnum

from .server import UNKNOWN_REFUSED


class Measure(StrEnum):
    """What a rebalance levels: the share of its memory that each host has promised, or how many servers it has."""

    MEMORY = "memory"
    SERVERS = "servers"


_USUAL_THRESHOLDS = {Measure.MEMORY: 10.0, Measure.SERVERS: 1.0}
_MOST_MOVES = 10_000


@dataclass(frozen=True)
class Levelling:
    """How level a rebalance makes the hosts.

    Attributes:
        by: what is levelled.
        threshold: hosts that are no further apart are level enough: percent of memory, or servers. Without, 10 percent
            or one server.
        moves: so many servers are moved at most.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    by: Measure = Measure.MEMORY
    threshold: float | None = None
    moves: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", Measure(self.by))
        if not 1 <= self.moves <= _MOST_MOVES:
            raise ValueError(f"moves is {self.moves}; give a number from 1 to {_MOST_MOVES}")
        highest = 100 if self.by is Measure.MEMORY else 100_000
        if not 0 <= self.apart <= highest:
            raise ValueError(f"threshold is {self.apart:g}; give a number from 0 to {highest}")

    @property
    def apart(self) -> float:
        """The threshold that holds."""
        return _USUAL_THRESHOLDS[self.by] if self.threshold is None else self.threshold
