"""The benchmark of fleets runs, with fleets that are tiny."""

from benchmarks.fleet import FIGURES, measure, table


def test_a_tiny_fleet_is_measured() -> None:
    found = measure(3, drains=1, changed=(1, 1), per_host=2, all_hosts=True)
    assert all(found[name] > 0 for name in FIGURES)
    assert "| 3 hosts | 3 hosts | ratio |" in table({"fleets": [found, found]})
