"""A rewiring: the ports of a running server go over from one switch of their host to another; the VM stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from .network import VifType


class RewiringOutcome(StrEnum):
    """How a rewiring ended. After FAILED and ABORTED the ports are wired as before."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True)
class Wiring:
    """How a port is attached to its host: what its binding says of that, and which mechanism driver said it."""

    vif_type: VifType
    vif_details: Mapping[str, Any] = field(default_factory=dict)
    driver: str | None = None


@dataclass(frozen=True)
class RewiredPort:
    """A port of a rewiring.

    `blackout_ms` is for how long its VM was in no switch: an upper bound, counted from before its tap left the one
    until the other had it and the VM was announced there. None before that, and if the answer was lost.
    """

    port_id: str
    mac_address: str
    before: Wiring
    after: Wiring
    blackout_ms: float | None = None


@dataclass(frozen=True)
class Rewiring:
    """A rewiring as it stands; `state` is running, aborting, settling (nothing is taken back any more), or its outcome.

    Attributes:
        backend: the mechanism driver that its ports go over to.
        error: why it failed, or what of it is left to a person.
    """

    id: str
    server_id: str
    host: str
    backend: str
    state: str
    ports: tuple[RewiredPort, ...] = ()
    error: str | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class RewiringPlan:
    """A rewiring that was thought through and not begun: nothing is stored or made for it.

    Attributes:
        ports: those that would be wired otherwise than they are.
        unchanged: the ids of those that are wired so already.
        obstacles: what is in the way, as sentences.
        silent: its host's agent could not be asked.
    """

    server_id: str
    host: str
    backend: str
    ports: tuple[RewiredPort, ...] = ()
    unchanged: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    silent: bool = False

    @property
    def possible(self) -> bool:
        """Nothing stands in the way, and there is something to do."""
        return bool(self.ports) and not self.obstacles
