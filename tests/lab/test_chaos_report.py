"""What `make chaos` says in the end, of which often only the last lines are kept."""

from io import StringIO

from rich.console import Console

from kedge.lab.chaos.__main__ import MOST_SHORTFALLS, report
from kedge.lab.chaos.trial import Result


def end_of_output(results: list[Result], wrong: list[str] | None = None, words: str = "") -> str:
    written = StringIO()
    report(Console(file=written, width=150), results, wrong or [], words)
    return written.getvalue()


GOOD = Result("PostgreSQL", "paused", "h1->h2", "paused", "completed", 1.5)


def test_a_trial_that_fell_short_is_told_of_below_the_matrix() -> None:
    bad = Result("an API process", "copying", "h2->h3", "copying", "failed", None, ["2 domains run [h2, h3]"])
    written = end_of_output([GOOD, bad], words="--- control-0.log\nlast [words]\n")
    assert "broken" in written
    assert written.index("1 of 2 trials") < written.index("last [words]")
    assert written.splitlines()[-1] == "an API process at copying, h2->h3: 2 domains run [h2, h3]"


def test_a_strike_that_never_came_in_time_is_not_called_broken() -> None:
    late = Result("PostgreSQL", "switched", "h2->h3", outcome="completed", seconds=0.1)
    written = end_of_output([GOOD, late])
    assert "broken" not in written
    assert written.count("too late") == 2
    assert written.splitlines()[-1].startswith("PostgreSQL at switched, h2->h3: too late, ")


def test_what_broke_although_the_strike_was_late_is_broken() -> None:
    both = Result("PostgreSQL", "switched", "h2->h3", wrong=["the migration did not end within 75 s"])
    written = end_of_output([both])
    assert "broken" in written
    assert written.splitlines()[-1].endswith("the migration did not end within 75 s")


def test_the_loss_of_hosts_is_told_of_and_not_without_end() -> None:
    lines = end_of_output([GOOD], [f"h1 still has device {number}" for number in range(100)]).splitlines()
    assert lines[-1] == f"h1 still has device {MOST_SHORTFALLS - 1}"


def test_nothing_is_added_where_all_was_whole() -> None:
    assert end_of_output([GOOD]).splitlines()[-1].startswith("1 of 1 trials ended with one running VM")
