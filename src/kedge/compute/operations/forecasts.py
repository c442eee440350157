"""What copying one server's memory would come to, by how fast it was measured to write to it."""

from dataclasses import dataclass

from kedge.core.operation import TransferModel, forecast, learn, remedies
from kedge.model.placement import MIB
from kedge.model.server import MigrationOptions, Server

from ..migrations.actor import Tools
from .dirty_rates import measured
from .past_migrations import past_migrations


@dataclass(frozen=True)
class ServerForecast:
    """How long copying takes in s with the pause, and the pause in ms; None if it would not end.

    Attributes:
        dirty_mib: how fast the server writes to its memory, in MiB/s; None if that could not be measured.
        rate_mib: how fast memory is copied, by former migrations and the options.
        how: it ends if not by itself: `auto-converge`, `force-complete` or `post-copy`.
        remedies: what would let it end.
    """

    memory_mib: float
    dirty_mib: float | None
    rate_mib: float
    copy_s: float | None = None
    downtime_ms: float | None = None
    how: str = ""
    remedies: tuple[str, ...] = ()


def forecast_of(tools: Tools, server: Server, options: MigrationOptions, seconds: int) -> ServerForecast:
    """Measure for so many seconds, and think the copying through."""
    rate = measured(tools.agents, [server], seconds).get(server.id) if seconds else None
    model = learn(past_migrations(tools.migrations.engine), TransferModel())
    memory_mib, dirty_mib = server.demand.memory / MIB, model.assumed_dirty_mib if rate is None else rate
    rate_mib = min(model.copy_mib, options.rate_mib or model.copy_mib)
    found = forecast(memory_mib, dirty_mib, rate_mib, options)
    if found is None:
        helps = tuple(remedies(memory_mib, dirty_mib, rate_mib, options))
        return ServerForecast(memory_mib, rate, rate_mib, remedies=helps)
    still_ms = max(model.pause_ms, found.downtime_ms)
    return ServerForecast(memory_mib, rate, rate_mib, found.copy_s, still_ms, found.how)
