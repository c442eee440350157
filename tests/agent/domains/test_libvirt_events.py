"""What is kept of libvirt's events, and who is woken by them."""

import threading
import time

import libvirt
import pytest

from kedge.agent.domains.libvirt_events import Events, Moments, after_event, is_step_of_migration

SUSPENDED, RESUMED = libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED
STARTED, STOPPED = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED
MIGRATED, POSTCOPY = libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # The source of a migration, and the destination, as libvirt 9.0 tells them.
        ([(SUSPENDED, MIGRATED), (STOPPED, 3)], Moments(paused_at_ns=1)),
        ([(STARTED, 1), (libvirt.VIR_DOMAIN_EVENT_DEFINED, 0), (RESUMED, 1)], Moments(resumed_at_ns=3)),
        # Aborted in the pause: the VM runs on, and pauses again in the next attempt.
        ([(SUSPENDED, MIGRATED), (RESUMED, 0)], Moments()),
        ([(SUSPENDED, MIGRATED), (RESUMED, 0), (SUSPENDED, MIGRATED)], Moments(paused_at_ns=3)),
        # Post-copy tells it twice.
        ([(SUSPENDED, MIGRATED), (SUSPENDED, POSTCOPY)], Moments(paused_at_ns=1)),
        (
            [(STARTED, 1), (RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_POSTCOPY), (RESUMED, 1)],
            Moments(resumed_at_ns=2),
        ),
        # A person's pause is none for the switchover.
        ([(SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED), (RESUMED, 0)], Moments()),
        # It left, and comes back later.
        ([(SUSPENDED, MIGRATED), (STOPPED, 3), (STARTED, 1), (RESUMED, 1)], Moments(resumed_at_ns=4)),
        # It came, and leaves.
        ([(STARTED, 1), (RESUMED, 1), (SUSPENDED, MIGRATED)], Moments(paused_at_ns=3, resumed_at_ns=2)),
    ],
)
def test_the_moments_of_a_switchover(events: list[tuple[int, int]], expected: Moments) -> None:
    moments = Moments()
    for now, (event, detail) in enumerate(events, start=1):
        moments = after_event(moments, event, detail, now)
    assert moments == expected


def test_an_event_wakes_who_waits_for_its_domain() -> None:
    events = Events()
    count = events.count("a")
    threading.Timer(0.1, events.lifecycle, ("a", SUSPENDED, MIGRATED)).start()
    began = time.monotonic()
    events.wait("a", count, 10)
    assert 0.05 < time.monotonic() - began < 5
    assert events.moments("a").paused_at_ns is not None


def test_an_event_before_the_wait_is_not_lost() -> None:
    events = Events()
    count = events.count("a")
    events.touch("a")
    began = time.monotonic()
    events.wait("a", count, 10)
    assert time.monotonic() - began < 5


def test_another_domains_event_does_not_end_the_wait() -> None:
    events = Events()
    events.touch("b")
    began = time.monotonic()
    threading.Timer(0.05, events.touch, ("b",)).start()
    events.wait("a", events.count("a"), 0.3)
    assert time.monotonic() - began > 0.25


def test_the_end_wakes_everybody() -> None:
    events = Events()
    threading.Timer(0.1, events.close).start()
    began = time.monotonic()
    events.wait("a", events.count("a"), 10)
    assert time.monotonic() - began < 5
    assert events.closed


def test_listeners_hear_of_lifecycle_events() -> None:
    events, heard = Events(), []
    events.listen(lambda *event: heard.append(event))
    events.lifecycle("a", STARTED, 0)
    events.touch("a")
    assert heard == [("a", STARTED, 0)]


def test_only_so_much_is_remembered() -> None:
    events = Events()
    for number in range(5000):
        events.lifecycle(str(number), SUSPENDED, MIGRATED)
    assert events.moments("0") == Moments()
    assert events.moments("4999").paused_at_ns is not None


def test_all_that_a_migration_does_on_both_hosts_but_the_arrival_is_a_step_of_it() -> None:
    source = [
        (SUSPENDED, MIGRATED),
        (SUSPENDED, POSTCOPY),
        (STOPPED, 3),
        (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, 0),
    ]
    destination = [(STARTED, 1), (libvirt.VIR_DOMAIN_EVENT_DEFINED, 0)]
    others = [(RESUMED, 1), (RESUMED, 0), (STARTED, 0), (STOPPED, 1), (SUSPENDED, 0)]
    assert all(is_step_of_migration(*each) for each in source + destination)
    assert not any(is_step_of_migration(*each) for each in others)
