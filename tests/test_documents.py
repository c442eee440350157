"""What the documents promise: each row of a table of promises names a test, and the test is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"


def rows(document: str) -> list[str]:
    """The rows of all tables, without their heads."""
    lines = (DOCS / document).read_text().splitlines()
    heads = {number - 1 for number, line in enumerate(lines) if re.match(r"\|(-+\|)+$", line)}
    return [
        line
        for number, line in enumerate(lines)
        if line.startswith("|") and number not in heads and not re.match(r"\|[-|]+$", line)
    ]


@pytest.fixture(scope="module")
def there() -> set[str]:
    return {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }


@pytest.mark.parametrize(
    ("document", "least", "without"),
    [("neutron-differences.md", 40, 0), ("nova-differences.md", 20, 0), ("security.md", 25, 3)],
)
def test_every_promise_has_its_test(document: str, least: int, without: int, there: set[str]) -> None:
    """`without`: so many rows are about what is not Kedge's, and have no test."""
    named = [re.search(r"`(test_\w+)` \|$", row) for row in rows(document)]
    assert len(named) > least
    assert [name[1] for name in named if name and name[1] not in there] == []
    assert named.count(None) == without
