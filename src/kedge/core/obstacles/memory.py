"""Memory and CPUs: what the guest has now, and what the destination has left for it."""

from kedge.core.placement import capacity
from kedge.core.placement.demand import demand_of
from kedge.model.obstacle import Obstacle

from .question import Question

CODES = capacity.CODES


def obstacles(question: Question) -> list[Obstacle]:
    """That something is short."""
    demand = demand_of(question.domain)
    return capacity.shortages(
        question.destination, demand, question.there.memory, question.limits, question.load
    )
