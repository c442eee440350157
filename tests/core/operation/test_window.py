import pytest

from kedge.model.window import Window, clock

DAY, HOUR = 86_400.0, 3600.0


@pytest.mark.parametrize(
    ("text", "open_at", "closed_at"),
    [
        ("22:00-05:00", [0, 4.99, 22, 23.5], [5, 12, 21.99]),
        ("08:00-17:30", [8, 17.4], [7.9, 17.5, 0]),
        ("22:00-05:00+02:00", [20, 2.9], [19.9, 3, 12]),
        ("22:00-05:00 -03:30", [1.5, 8.4], [1.4, 8.5]),
        ("00:00-24:00Z", [], []),
        ("20:00-24:00 UTC", [20, 23.9], [0, 19.9]),
    ],
)
def test_a_window_is_open_every_day(text: str, open_at: list[float], closed_at: list[float]) -> None:
    if not open_at:
        with pytest.raises(ValueError, match="no span of a day"):
            Window.parse(text)
        return
    window = Window.parse(text)
    for day in (0, 20_000):
        assert all(window.is_open(day * DAY + hour * HOUR) for hour in open_at)
        assert not any(window.is_open(day * DAY + hour * HOUR) for hour in closed_at)


def test_it_opens_at_its_begin() -> None:
    window = Window.parse("22:00-05:00")

    assert window.opens_at(12 * HOUR) == 22 * HOUR
    assert window.opens_at(23 * HOUR) == 23 * HOUR
    assert clock(window.opens_at(DAY + 5 * HOUR)) == "1970-01-02 22:00:00 UTC"
