"""`If-Match: revision_number=N`: change something only if nobody else has since it was looked at."""

import re
from typing import Annotated

from fastapi import Depends, Header

from kedge.store.tables import NetworkRow, PortRow, SubnetPoolRow, SubnetRow

from ..errors import InvalidInput, RevisionNumberConstraintFailed

_FORM = re.compile(r"revision_number=([0-9]{1,18})", re.ASCII)


async def _expected(
    if_match: Annotated[
        str | None,
        Header(description="Refuse (412) if the resource's revision is another; `revision_number=3`."),
    ] = None,
) -> int | None:
    if if_match is None:
        return None
    found = _FORM.fullmatch(if_match.strip())
    if found is None:
        raise InvalidInput(f"If-Match {if_match[:64]!r} is not understood; write revision_number=3.")
    return int(found[1])


Expected = Annotated[int | None, Depends(_expected)]
"""The revision that the caller saw; None if that does not matter."""


def require_revision(row: NetworkRow | SubnetRow | SubnetPoolRow | PortRow, expected: int | None) -> None:
    """Raise RevisionNumberConstraintFailed if the row, which is locked, has another revision."""
    if expected is not None and row.revision_number != expected:
        raise RevisionNumberConstraintFailed(expected, row.revision_number)
