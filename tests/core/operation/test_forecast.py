"""The model of pre-copy, and what a policy makes of it."""

import pytest

from kedge.core.operation.forecast import Forecast, forecast, remedies
from kedge.model.convergence import StallAction, StallStep
from kedge.model.server import MigrationOptions, TimeoutAction

GIB = 1024.0
BUSY, RATE = 120.0, 100.0


def of(**options: object) -> Forecast | None:
    """A GiB at 100 MiB/s, of which the guest changes 120 in each second."""
    return forecast(GIB, BUSY, RATE, MigrationOptions(**options))  # type: ignore[arg-type]


def test_a_guest_that_writes_too_fast_does_not_end() -> None:
    assert of() is None
    assert of(progress_timeout_s=None) is None


def test_auto_converge_slows_the_guest_down_until_it_ends() -> None:
    found = of(auto_converge=True)
    assert found is not None and found.how == "auto-converge"
    assert found.copy_s > 10.24  # more than one pass
    calm = forecast(GIB, 1, RATE, MigrationOptions(auto_converge=True))
    assert calm is not None and calm.how == ""


@pytest.mark.parametrize(("action", "still_ms"), [("post-copy", 0), ("force-complete", 10_240)])
def test_a_time_out_or_a_step_ends_it_otherwise(action: str, still_ms: float) -> None:
    late = of(timeout_action=TimeoutAction(action), completion_timeout_s=60)
    soon = of(schedule=(StallStep(1, StallAction(action)),))
    for found in (late, soon):
        assert found is not None and found.how == action
        assert found.downtime_ms == pytest.approx(still_ms)
    assert soon is not None and late is not None and soon.copy_s < late.copy_s


def test_an_abort_by_schedule_ends_nothing() -> None:
    steps = (StallStep(1, StallAction.ABORT), StallStep(2, StallAction.POST_COPY))
    assert of(schedule=steps) is None
    lifted = (StallStep(1, StallAction.DOWNTIME, 20_000),)
    found = of(schedule=lifted)
    assert found is not None and found.downtime_ms == pytest.approx(10_240)


@pytest.mark.parametrize("limits", [{"downtime_limit_ms": 20}, {"downtime_ceiling_ms": 20}])
def test_the_limits_of_the_downtime_hold(limits: dict[str, int]) -> None:
    found = forecast(100, 25, RATE, MigrationOptions(**limits))  # type: ignore[arg-type]
    assert found is not None and found.downtime_ms <= 20


def test_what_would_help_is_tried_in_the_model() -> None:
    rest, bandwidth = remedies(GIB, BUSY, RATE)[:-1], remedies(GIB, BUSY, RATE)[-1]
    assert rest == ["auto-converge", "post-copy"]
    enough = float(bandwidth.removesuffix(" MiB/s"))
    assert enough > RATE and forecast(GIB, BUSY, enough) is not None
    # A step that aborts it comes before anything slows the guest down enough.
    first = MigrationOptions(schedule=(StallStep(1, StallAction.ABORT),))
    assert "auto-converge" not in remedies(GIB, 10 * RATE, RATE, first)
