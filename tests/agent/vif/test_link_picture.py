"""The list of devices is drawn anew when something changed, whoever changed it, and not otherwise."""

from collections.abc import Callable

import pytest

from kedge.agent.vif import rtnetlink
from kedge.agent.vif.link import Link
from kedge.agent.vif.links import Links

from .vif_world import World, cases, run

one_backend = cases(lambda case: case.name == "macvtap-flat")


class Counted:
    """How often the kernel was asked for all devices."""

    def __init__(self, links: Links, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links, self.drawn = links, 0
        dump = rtnetlink.dump

        def counted(kind: int, body: bytes) -> list[bytes]:
            self.drawn += kind == rtnetlink.GET_LINK
            return dump(kind, body)

        monkeypatch.setattr(rtnetlink, "dump", counted)

    def device(self, name: str) -> Link | None:
        return next((link for link in self.links.all() if link.name == name), None)


@one_backend
def test_what_others_do_is_seen_at_once(host: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Counted(host.pluggers._links, monkeypatch)
    assert seen.device("other0") is None
    run("ip", "tuntap", "add", "other0", "mode", "tap")
    made = seen.device("other0")
    assert made is not None and not made.up
    changes: list[tuple[str, Callable[[Link], bool]]] = [
        ("mtu 1400", lambda link: link.mtu == 1400),
        ("address 02:00:00:00:00:09", lambda link: link.mac == "02:00:00:00:00:09"),
        ("up", lambda link: link.up),
        ("alias somebody", lambda link: link.alias == "somebody"),
        ("allmulticast on", lambda link: link.all_multicast),
        ("down", lambda link: not link.up),
    ]
    for change, holds in changes:
        run("ip", "link", "set", "other0", *change.split())
        found = seen.device("other0")
        assert found is not None and holds(found), change
    run("ip", "link", "set", "other0", "name", "other1")
    assert seen.device("other0") is None and seen.device("other1") is not None
    run("ip", "link", "del", "other1")
    assert seen.device("other1") is None


@one_backend
def test_its_own_marks_on_a_device_that_is_down_are_seen_at_once(host: World) -> None:
    """Of these the kernel tells nobody."""
    links = host.pluggers._links
    made = links.add_tap("own0", "first", multi_queue=False)
    assert {link.name: link.alias for link in links.all()}["own0"] == "first"
    links.set(made, ifalias="second")
    assert {link.name: link.alias for link in links.all()}["own0"] == "second"
    links.delete([made])
    assert "own0" not in [link.name for link in links.all()]


@one_backend
def test_a_quiet_host_is_listed_once(host: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kedge.agent.vif.links._PICTURE_S", 60)
    seen = Counted(host.pluggers._links, monkeypatch)
    first = seen.links.all()
    drawn = seen.drawn
    for _ in range(20):
        assert seen.links.all() == first
    assert seen.drawn == drawn <= 1
