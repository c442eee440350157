"""What comes of plans that were thought through for several hosts."""

from collections.abc import Sequence

from kedge.model.server import Plan, Server

from .choose import LeftOut


def candidates(plans: Sequence[Plan]) -> list[str]:
    """The destinations of those plans that nothing stands in the way of, in the same order."""
    return [plan.destination for plan in plans if plan.possible]


def reasons(plans: Sequence[Plan]) -> list[str]:
    """Everything that stands in the way; said of its host where there are several."""
    if len(plans) == 1:
        return list(plans[0].obstacles)
    return [f"{plan.destination}: {obstacle}" for plan in plans for obstacle in plan.obstacles]


def left_out(server: Server, host: LeftOut) -> Plan:
    """A plan that goes no further than to say why placement left the host out."""
    return Plan(
        server=server,
        source=server.host,
        destination=host.host,
        ports=(),
        obstacles=tuple(str(each) for each in host.obstacles),
        obstacle_details=host.obstacles,
    )
