"""What is assumed of migrations in a simulation, or was learned of those that have ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field

COMMAND_S = 20.0
"""What changing a host is taken to last when a command does it, and a person is not waited for."""

_BOUNDS = {
    "link_mib": (1, 1e6),
    "copy_mib": (0.001, 1e6),
    "assumed_dirty_mib": (0, 1e6),
    "fixed_s": (0, 1e6),
    "slowdown": (0, 1),
    "lag_s": (0, 1e6),
    "pause_ms": (0, 1e6),
    "convert_s": (0, 1e6),
    "try_s": (0, 1e6),
    "rewire_s": (0, 1e6),
}


@dataclass(frozen=True)
class TransferModel:
    """What is assumed of transfers, or was learned of those that have ended. Rates are in MiB/s.

    Attributes:
        link_mib: what one host can send, and receive, for all its migrations.
        copy_mib: what one migration copies if nothing limits it.
        dirty_mib: how fast a guest writes to its memory, by the server's id.
        assumed_dirty_mib: the same for servers of which it is not known.
        fixed_s: what a migration takes beside copying memory.
        slowdown: by which part of its time each other migration that runs at once lengthens one; 1 if one has to wait
            for the other.
        lag_s: what an operation takes from when it could begin a migration until it has begun it.
        pause_ms: for how long a VM stands still at least.
        convert_s: what changing a host's backend takes, until its agent reports it.
        try_s: what it takes to try it.
        rewire_s: what it takes to move a server's ports to another switch of its host.
        learned_from: of how many migrations this was learned; 0 if it is assumed.
    """

    link_mib: float = 1000.0
    copy_mib: float = 1000.0
    dirty_mib: Mapping[str, float] = field(default_factory=dict)
    assumed_dirty_mib: float = 10.0
    fixed_s: float = 2.0
    slowdown: float = 0.0
    lag_s: float = 0.5
    pause_ms: float = 0.0
    convert_s: float = 60.0
    try_s: float = 1.0
    rewire_s: float = 2.0
    learned_from: int = 0

    def __post_init__(self) -> None:
        values = [(name, getattr(self, name), *bounds) for name, bounds in _BOUNDS.items()]
        dirty = [(f"dirty_mib of {server}", rate, 0, 1e6) for server, rate in self.dirty_mib.items()]
        for name, value, lowest, highest in (*values, *dirty):
            if not lowest <= value <= highest:
                raise ValueError(f"{name} is {value:g}; give a number from {lowest:g} to {highest:.0f}")

    def basis(self) -> dict[str, float]:
        """The numbers that hold for all servers, by their names."""
        return {name: getattr(self, name) for name in (*_BOUNDS, "learned_from")}

    def dirty(self, server_id: str) -> float:
        """How fast this guest writes to its memory."""
        return self.dirty_mib.get(server_id, self.assumed_dirty_mib)
