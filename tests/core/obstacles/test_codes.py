"""The codes are one list, without doubles, and docs/plan.md has a row for each."""

import re
from pathlib import Path

from kedge.core import obstacles
from kedge.core.obstacles import planned

PAGE = Path(__file__).parents[3] / "docs" / "plan.md"


def test_no_code_has_two_meanings() -> None:
    assert sum(len(kind.CODES) for kind in (planned, *obstacles.KINDS)) == len(obstacles.CODES)


def test_the_page_has_a_row_for_each_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    assert [code for code, _ in rows] == list(obstacles.CODES)
    for code, rest in rows:
        cells = [cell.strip() for cell in rest.split("|")]
        assert len(cells) == 3 and all(cells), code
