"""Which servers of an operation go first."""

import re

from kedge.core.placement import PlacedServer
from kedge.model.operation import BIGGEST_FIRST, BY_LABEL

_NUMBERS = re.compile(r"(\d+)")

Rank = tuple[tuple[tuple[bool, int, str], ...], int, str, str]


def rank(server: PlacedServer, order: str) -> Rank:
    """What to sort servers by.

    Values of a label are compared as people do, 9 before 10; servers without it come last, and those of one value by
    their memory.
    """
    by_label: tuple[tuple[bool, int, str], ...] = ()
    if order.startswith(BY_LABEL):
        value = server.labels.get(order.removeprefix(BY_LABEL))
        by_label = ((True, 1, ""),) if value is None else _natural(value)
    memory = -server.demand.memory if order == BIGGEST_FIRST else server.demand.memory
    return by_label, memory, server.name, server.id


def _natural(value: str) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (False, int(part), "") if part.isdecimal() else (True, 0, part)
        for part in _NUMBERS.split(value)
        if part
    )
