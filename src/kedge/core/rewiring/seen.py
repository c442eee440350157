"""What a rewiring is decided from, and what is decided."""

from dataclasses import dataclass
from enum import StrEnum


class Tap(StrEnum):
    """In which of the two switches a port's tap is; in neither of them; or that there is none."""

    OLD = "old"
    NEW = "new"
    NOWHERE = "nowhere"
    GONE = "gone"


@dataclass(frozen=True)
class Port:
    """One port. `bound`: its ACTIVE binding is the one that the rewiring knows; else somebody else has changed it."""

    id: str
    tap: Tap
    bound: bool = True


@dataclass(frozen=True)
class Seen:
    """The ports as they are seen, and what is wanted.

    Attributes:
        reachable: the host's agent answers; if not, nothing is known of the taps.
        gone: an operator said that the host is off.
        committed: the bindings say the new side.
        prepared: the agent has made the new sides ready.
        left: the agent has removed what was left of the sides where the taps are not to be.
        abort: somebody asked for it.
        failure: why it was given up.
        tries: so many orders have failed since it was committed or given up.
    """

    ports: tuple[Port, ...]
    reachable: bool = True
    gone: bool = False
    committed: bool = False
    prepared: bool = False
    left: bool = False
    abort: bool = False
    failure: str | None = None
    tries: int = 0


class Act(StrEnum):
    """What can be done; `Action.ports` says with which ports."""

    WAIT = "wait"
    PREPARE = "prepare"
    MOVE = "move"
    COMMIT = "commit"
    MOVE_BACK = "move back"
    LEAVE_OLD = "leave the old side"
    LEAVE_NEW = "leave the new side"
    GIVE_UP = "give up"
    FINISH = "finish"


@dataclass(frozen=True)
class Action:
    """What to do now. `why` is for GIVE_UP, and for a FINISH that leaves something to a person."""

    act: Act
    ports: tuple[str, ...] = ()
    why: str = ""
