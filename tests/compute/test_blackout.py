"""Between what a blackout is measured, from what the hosts have heard of a VM."""

from typing import cast

from kedge.compute.hosts.agents import Agents
from kedge.compute.migrations.looker import Blackout, Looker
from kedge.core.migration import Role
from kedge.model.domain import FrameTimes
from kedge.model.server import Migration, MigrationStatus, Sign
from kedge.network.service import NetworkService

MS = 1_000_000


def looker() -> Looker:
    migration = Migration("m", "s", "h1", "h2", MigrationStatus.SETTLING)
    return Looker(migration, cast(NetworkService, None), cast(Agents, None))


def heard(
    looker: Looker,
    port: str,
    *,
    frames: tuple[int, int] | None = None,
    answers: tuple[int, int] | None = None,
) -> None:
    """Last on the source and first on the destination, in ms."""
    for times, found in ((looker.gathered.frames, frames), (looker.gathered.answers, answers)):
        if found is not None:
            times[Role.SOURCE][port] = FrameTimes(0, found[0] * MS, 1)
            times[Role.DESTINATION][port] = FrameTimes(found[1] * MS, found[1] * MS, 1)


def test_what_is_nearest_to_the_pause_counts() -> None:
    one = looker()
    heard(one, "p", frames=(100, 900), answers=(395, 500))
    assert one.blackout() == Blackout(105.0, (Sign.ANSWER, Sign.ANSWER))
    heard(one, "p", frames=(398, 500), answers=(300, 502))
    assert one.blackout() == Blackout(102.0, (Sign.FRAME, Sign.FRAME))
    heard(one, "p", frames=(100, 480), answers=(395, 500))
    assert one.blackout() == Blackout(85.0, (Sign.ANSWER, Sign.FRAME))


def test_the_port_that_was_dark_for_longest_counts() -> None:
    one = looker()
    heard(one, "p", frames=(399, 480))
    heard(one, "q", answers=(395, 500))
    assert one.blackout() == Blackout(105.0, (Sign.ANSWER, Sign.ANSWER))


def test_a_port_that_was_not_heard_again_leaves_it_open() -> None:
    one = looker()
    heard(one, "p", frames=(399, 480))
    heard(one, "q", answers=(395, 500))
    del one.gathered.answers[Role.DESTINATION]["q"]
    assert one.blackout() is None


def test_who_was_heard_nowhere_was_not_measured() -> None:
    assert looker().blackout() is None
