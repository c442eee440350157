"""A span of time that comes every day, in which something may be begun."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_DAY_S = 86_400
_FORM = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d) ?(?:UTC|Z|([+-])(\d\d):(\d\d))?")
_HELP = "write it as 22:00-05:00, in UTC, or with how far local time is ahead of UTC: 22:00-05:00+02:00"


@dataclass(frozen=True)
class Window:
    """From `begin_s` to before `end_s`, in s since midnight in UTC. It may reach over midnight.

    There are no zones with a summer time: the day on which their clocks change, nobody knows what was meant.
    """

    begin_s: int
    end_s: int

    @classmethod
    def parse(cls, text: str) -> "Window":
        """From `22:00-05:00` or `22:00-05:00+02:00`. Raises ValueError, which says how it is written."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"window is {text!r}; {_HELP}")
        begin, end = _seconds(found[1], found[2], 24), _seconds(found[3], found[4], 24)
        ahead = _seconds(found[6] or "0", found[7] or "0", 14)
        if begin is None or end is None or ahead is None or begin % _DAY_S == end % _DAY_S:
            raise ValueError(f"window is {text!r}, which is no span of a day; {_HELP}")
        ahead = -ahead if found[5] == "-" else ahead
        return cls((begin - ahead) % _DAY_S, (end - ahead) % _DAY_S)

    def is_open(self, at_s: float) -> bool:
        """Whether it is at this time, in s since 1970 in UTC."""
        return (at_s - self.begin_s) % _DAY_S < (self.end_s - self.begin_s) % _DAY_S

    def opens_at(self, at_s: float) -> float:
        """The next time at which it opens; this one if it is open."""
        return at_s if self.is_open(at_s) else at_s + (self.begin_s - at_s) % _DAY_S


def clock(at_s: float) -> str:
    """A time in s since 1970, as people read it."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _seconds(hours: str, minutes: str, most_hours: int) -> int | None:
    found = int(hours) * 3600 + int(minutes) * 60
    return found if int(minutes) < 60 and found <= most_hours * 3600 else None
