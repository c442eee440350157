"""The filter `name` of lists: in Nova a regular expression that the database evaluates.

Clients send a part of a name, or `^NAME$` with what is special in it escaped. That and `.` and `.*` are taken here: an
expression of somebody's own could keep a database busy for longer than anybody waits.
"""

import re

from kedge.model.errors import BadRequest

ESCAPE = "\\"
_LONGEST = 255
_TOKEN = re.compile(r"(?P<any>\.\*)|(?P<one>\.)|\\(?P<escaped>\W)|(?P<plain>[^\\.*+?\[\](){}|^$])", re.DOTALL)


def like(expression: str) -> str:
    """The pattern for LIKE, with `ESCAPE`, that finds what the regular expression finds. Raises BadRequest."""
    if len(expression) > _LONGEST:
        raise BadRequest(f"The filter name has {len(expression)} characters; at most {_LONGEST} are taken.")
    from_start = expression.startswith("^")
    to_end = re.search(r"(?<!\\)(\\\\)*\$$", expression) is not None
    place, end, pattern = int(from_start), len(expression) - to_end, ""
    while place < end:
        token = _TOKEN.match(expression, place, end)
        if token is None:
            raise BadRequest(
                f"The filter name {expression[:64]!r} is more of a regular expression than is taken here;"
                " give a part of the name, with '.*' between parts, '^' at its beginning and '$' at its end."
            )
        pattern += _as_like(token)
        place = token.end()
    return f"{'' if from_start else '%'}{pattern}{'' if to_end else '%'}"


def _as_like(token: re.Match[str]) -> str:
    if token["any"]:
        return "%"
    if token["one"]:
        return "_"
    literal = token["escaped"] or token["plain"]
    return f"{ESCAPE}{literal}" if literal in ("%", "_", ESCAPE) else literal
