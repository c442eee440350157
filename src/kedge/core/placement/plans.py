"""What comes of plans that were thought through for several hosts."""

from collections.abc import Mapping, Sequence

from kedge.model.server import Plan


def candidates(plans: Sequence[Plan]) -> list[str]:
    """The destinations of those plans that nothing stands in the way of, in the same order."""
    return [plan.destination for plan in plans if plan.possible]


def reasons(plans: Sequence[Plan]) -> list[str]:
    """Everything that stands in the way; said of its host where there are several."""
    if len(plans) == 1:
        return list(plans[0].obstacles)
    return [f"{plan.destination}: {obstacle}" for plan in plans for obstacle in plan.obstacles]


def emptiest_first(hosts: Sequence[str], servers: Mapping[str, int]) -> list[str]:
    """The hosts by the number of their servers, so that nobody's choice fills no host before the others."""
    return sorted(hosts, key=lambda host: (servers.get(host, 0), host))
