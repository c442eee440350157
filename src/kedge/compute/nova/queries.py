"""What queries of lists have alike: how many, from where, in which order."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from starlette.datastructures import QueryParams

from kedge.model.errors import BadRequest

MOST = 1000
"""As many are in one page, as usually in Nova (`[api] max_limit`)."""

_TRUTH = dict.fromkeys(("1", "t", "true", "on", "y", "yes"), True)
_TRUTH |= dict.fromkeys(("0", "f", "false", "off", "n", "no"), False)

Order = Sequence[tuple[ColumnElement[Any], bool]]
"""Columns, and whether the largest comes first."""


def limit_of(query: QueryParams) -> int:
    """How many are wanted in one page. Raises BadRequest."""
    text = query.get("limit")
    if text is None:
        return MOST
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest(
            f"Invalid input for query parameters limit. Value: {text[:64]}. It must be a number that is 0 or more."
        )
    return MOST if len(text) > len(str(MOST)) else min(int(text), MOST)


def boolean(name: str, text: str) -> bool:
    """The value of a parameter that is true or false. Raises BadRequest."""
    if text.strip().lower() not in _TRUTH:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:64]}. It must be true or false."
        )
    return _TRUTH[text.strip().lower()]


def refuse_unknown(query: QueryParams, known: Sequence[str]) -> None:
    """Raises BadRequest, in Nova's words, for parameters that are none of these."""
    unknown = sorted(set(query) - set(known))
    if unknown:
        shown = ", ".join(repr(each[:64]) for each in unknown[:5])
        raise BadRequest(f"Additional properties are not allowed ({shown} was unexpected)")


def after(order: Order, marker: Sequence[Any]) -> ColumnElement[bool]:
    """What comes behind the row with these values, in this order."""
    ways: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for (column, descends), value in zip(order, marker, strict=True):
        ways.append(and_(*equal, column < value if descends else column > value))
        equal.append(column == value)
    return or_(*ways)
