"""REST under /kedge/v1/operations."""

from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Query

from kedge.core.operation import Prediction, TransferModel
from kedge.model.host_facts import check_measure_s
from kedge.model.operation import Abort, Operation, OperationLimits
from kedge.model.server import UNKNOWN_REFUSED
from kedge.serving.strict_request import StrictRoute

from ..migrations.conductor import Conductor
from ..operations.forecasts import ServerForecast, forecast_of
from ..operations.operations import OperationRequest, Operations
from ..operations.records import OperationRecords
from .migrations import ERRORS


@dataclass(frozen=True)
class AbortRequest:
    """What becomes of the migrations that are under way."""

    __pydantic_config__ = UNKNOWN_REFUSED

    running: Abort = Abort.FINISH_RUNNING


@dataclass(frozen=True)
class Assumptions:
    """What a simulation is to assume instead of what it learns of former migrations; see `TransferModel`.

    Rates are in MiB/s, times in s.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    link_mib: float | None = None
    copy_mib: float | None = None
    assumed_dirty_mib: float | None = None
    fixed_s: float | None = None
    slowdown: float | None = None
    lag_s: float | None = None
    convert_s: float | None = None
    try_s: float | None = None
    rewire_s: float | None = None

    def __post_init__(self) -> None:
        TransferModel(**self.given())  # type: ignore[arg-type]

    def given(self) -> dict[str, float]:
        """Those that were named, by their names. They are numbers that can be."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SimulationRequest:
    """An operation that is to be thought through and not begun.

    With `measure_s` it is measured first, for so many seconds, how fast its servers write to their memory.
    """

    __pydantic_config__ = UNKNOWN_REFUSED

    operation: OperationRequest
    assumptions: Assumptions = field(default_factory=Assumptions)
    measure_s: int = 0

    def __post_init__(self) -> None:
        check_measure_s(self.measure_s)


@dataclass(frozen=True)
class ForecastRequest:
    """A server whose memory is to be copied, with this policy or its label's."""

    __pydantic_config__ = UNKNOWN_REFUSED

    measure_s: int = 5
    policy: str | None = None

    def __post_init__(self) -> None:
        check_measure_s(self.measure_s)


def operations_router(conductor: Conductor) -> APIRouter:
    """The routes of operations."""
    router = APIRouter(prefix="/kedge/v1", route_class=StrictRoute, responses=ERRORS, tags=["operations"])

    @cache
    def operations() -> Operations:
        records = OperationRecords(conductor.tools.migrations.engine)
        return Operations(conductor.tools, records, conductor.places)

    @router.get("/operations")
    def list_operations(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Operation]:
        """Operations, the newest first."""
        return operations().records.all(limit)

    @router.post("/operations", status_code=202)
    def begin_operation(body: OperationRequest) -> Operation:
        """Begin to drain or restore a host, to move servers, to level or change hosts. What forbids it is said."""
        begun = operations().begin(body)
        conductor.tools.operation_news.set()
        return begun

    @router.post("/operations/simulate")
    def simulate_operation(body: SimulationRequest) -> Prediction:
        """What an operation would do, and when. Nothing is stored, and no host is disabled."""
        return operations().simulate(body.operation, body.assumptions.given(), body.measure_s)

    @router.post("/servers/{server}/forecast")
    def forecast_migration(server: str, body: ForecastRequest) -> ServerForecast:
        """Measure how fast a server writes to its memory, and say what copying that would come to."""
        tools = conductor.tools
        found = tools.servers.find(server)
        return forecast_of(tools, found, tools.policies.of(found, body.policy), body.measure_s)

    @router.get("/operations/{operation}")
    def show_operation(operation: str) -> Operation:
        """An operation with its servers, by its id or the beginning of it."""
        return operations().records.find(operation)

    @router.post("/operations/{operation}/pause")
    def pause_operation(operation: str) -> Operation:
        """Begin no migration for now. What is under way goes on."""
        return operations().records.pause(operation, paused=True)

    @router.post("/operations/{operation}/resume")
    def resume_operation(operation: str) -> Operation:
        """Begin migrations again."""
        return operations().records.pause(operation, paused=False)

    @router.post("/operations/{operation}/abort", status_code=202)
    def abort_operation(operation: str, body: AbortRequest) -> Operation:
        """Begin no migration any more, and end once none is under way. A host that was disabled stays so."""
        return operations().records.abort(operation, body.running)

    @router.put("/operations/{operation}/limits")
    def limit_operation(operation: str, body: OperationLimits) -> Operation:
        """Change the limits, all of them. They hold for what begins from now on; bandwidth for what runs, too."""
        return operations().records.limit(operation, body)

    return router
