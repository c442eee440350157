"""The control plane's word on domains that migrations left on hosts: what agents may remove, and what not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from kedge.compute.reports.discard_duties import HostsWithDiscards
from kedge.core.unneeded_domain import LEFT_STATES, is_unneeded
from kedge.model.domain import DomainState, HostView
from kedge.model.server import Server
from kedge.wire.messages import DiscardOrder, HostDuties, HostReport

from .compute_world import ComputeWorld

STATES = list(DomainState)
GONE = "00000000-1111-2222-3333-444444444444"


@pytest.mark.parametrize("here", STATES)
@pytest.mark.parametrize("home", STATES)
def test_what_is_left_where_the_server_is_not(here: DomainState, home: DomainState) -> None:
    whole = home in (DomainState.RUNNING, DomainState.PAUSED)
    stopped = home in (DomainState.SHUTOFF, DomainState.CRASHED)
    free = is_unneeded(here, HostView(domain=home))
    if here is DomainState.INCOMING:
        assert free == (whole or stopped)
    elif here in LEFT_STATES:
        assert free == whole
    else:
        assert not free


@pytest.mark.parametrize("here", STATES)
@pytest.mark.parametrize("home", STATES)
def test_nothing_is_left_as_long_as_somebody_hands_the_server_over(
    here: DomainState, home: DomainState
) -> None:
    assert not is_unneeded(here, HostView(domain=home, job=True))


@pytest.mark.parametrize("home", STATES)
def test_what_runs_is_never_left(home: DomainState) -> None:
    running = (DomainState.RUNNING, DomainState.PAUSED, DomainState.POSTCOPY_DESTINATION, DomainState.ABSENT)
    assert not any(is_unneeded(here, HostView(domain=home)) for here in running)


def test_a_vm_that_is_seen_nowhere_else_is_never_left() -> None:
    assert not any(is_unneeded(here, HostView(domain=DomainState.ABSENT)) for here in STATES)


@pytest.fixture
def hosts(world: ComputeWorld) -> HostsWithDiscards:
    return HostsWithDiscards(world.network, world.engine, world.agents)


def say(
    world: ComputeWorld,
    hosts: HostsWithDiscards,
    host: str,
    uuid: str,
    state: DomainState,
    *,
    half_made: Sequence[str] = (),
) -> dict[str, DiscardOrder]:
    """What is answered to a report that this domain is on this host."""
    report: HostReport = world[host].agent.host()
    hosts.record_host(replace(report, domains={uuid: state}, half_made=tuple(half_made)))
    return dict(hosts.duties(host).discard)


@pytest.mark.parametrize("state", sorted(LEFT_STATES))
def test_a_domain_whose_server_runs_elsewhere_is_given_free(
    world: ComputeWorld, hosts: HostsWithDiscards, state: DomainState
) -> None:
    server = world.server("h1")
    assert say(world, hosts, "h3", server.id, state) == {server.id: DiscardOrder((state,), 0)}


@pytest.mark.parametrize("state", sorted(LEFT_STATES))
def test_on_its_own_host_nothing_is_given_free(
    world: ComputeWorld, hosts: HostsWithDiscards, state: DomainState
) -> None:
    server = world.server("h1")
    assert say(world, hosts, "h1", server.id, state) == {}


@pytest.mark.parametrize("state", STATES)
def test_a_domain_that_is_not_kedges_is_never_given_free(
    world: ComputeWorld, hosts: HostsWithDiscards, state: DomainState
) -> None:
    world.server("h1")
    assert say(world, hosts, "h3", GONE, state) == {}


@pytest.mark.parametrize("state", sorted(LEFT_STATES))
def test_nothing_is_given_free_while_a_migration_involves_it(
    world: ComputeWorld, hosts: HostsWithDiscards, state: DomainState
) -> None:
    server = world.server("h1")
    world.begin(server, "h3")
    assert say(world, hosts, "h3", server.id, state) == {}
    assert say(world, hosts, "h5", server.id, state) == {}


def test_the_order_carries_the_newest_epoch(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    server = world.server("h1")
    world.move(server, "h3")
    world.move(world.tools.servers.find(server.id), "h5")
    epoch = say(world, hosts, "h1", server.id, DomainState.SWITCHOVER)[server.id].epoch
    following = world.begin(world.tools.servers.find(server.id), "h2")
    assert 2 <= epoch == world.tools.migrations.take_over(following.id) - 1


def at_home(world: ComputeWorld, server: Server, state: DomainState) -> None:
    world["h1"].holds[server.id].state = state


def test_what_the_servers_host_says_now_decides(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    server = world.server("h1")
    at_home(world, server, DomainState.SHUTOFF)
    assert say(world, hosts, "h3", server.id, DomainState.SWITCHOVER) == {}
    assert server.id in say(world, hosts, "h3", server.id, DomainState.INCOMING)
    at_home(world, server, DomainState.SWITCHOVER)
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}
    world["h1"].holds.clear()
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}
    assert say(world, hosts, "h3", server.id, DomainState.SWITCHOVER) == {}


def test_a_migration_with_virsh_is_left_alone(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    server = world.server("h1")
    world["h1"].jobs.add(server.id)
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}


def test_a_host_that_does_not_answer_gives_nothing_free_and_is_not_asked_at_each_report(
    world: ComputeWorld, hosts: HostsWithDiscards
) -> None:
    server = world.server("h1")
    world["h1"].agent.reachable = False
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}
    world["h1"].agent.reachable = True
    calls = len(world["h1"].agent.calls)
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}
    assert len(world["h1"].agent.calls) == calls


def test_a_dead_host_gives_nothing_free(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    server = world.server("h1")
    world["h1"].agent.reachable = False
    world.pass_time(600)
    world["h1"].agent.reachable = True
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}


def test_where_the_duties_are_not_known_nothing_is_given_free(
    world: ComputeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server("h1")
    hosts = HostsWithDiscards(world.network, world.engine, world.agents)
    monkeypatch.setattr(world.network, "duties", lambda _host: HostDuties(known=False))
    assert say(world, hosts, "h3", server.id, DomainState.INCOMING) == {}


def test_a_server_that_never_came_to_be(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    """An agent was killed between defining a domain and starting it, and the server was given up."""
    shutoff = DomainState.SHUTOFF
    assert say(world, hosts, "h3", GONE, shutoff, half_made=[GONE]) == {GONE: DiscardOrder((shutoff,), 0)}
    assert say(world, hosts, "h3", GONE, DomainState.RUNNING, half_made=[GONE]) == {}
    server = world.server("h3")
    assert say(world, hosts, "h3", server.id, shutoff, half_made=[server.id]) == {}


def test_all_else_is_as_the_registry_says(world: ComputeWorld, hosts: HostsWithDiscards) -> None:
    server = world.server("h1")
    assert hosts.hosts() == world.network.hosts()
    assert hosts.host("h1") == world.network.host("h1")
    assert hosts.duties("h1") == world.network.duties("h1")
    say(world, hosts, "h1", server.id, DomainState.RUNNING)
    assert {vif.port_id for vif in hosts.duties("h1").vifs} == {port.id for port in world.ports(server)}


@pytest.mark.parametrize("off_s", [-3600, 3600])
def test_a_clock_that_is_off_changes_nothing(
    world: ComputeWorld, hosts: HostsWithDiscards, off_s: int
) -> None:
    server = world.server("h1")
    world.pass_time(600)
    report = world["h3"].agent.host()
    before = say(world, hosts, "h3", server.id, DomainState.INCOMING)
    world.now += timedelta(seconds=600)
    assert not hosts.host("h3").alive
    off = replace(report, domains={server.id: DomainState.INCOMING}, now_ns=report.now_ns + off_s * 10**9)
    hosts.record_host(off)
    assert hosts.host("h3").alive
    world["h1"].agent.report()
    assert hosts.duties("h3").discard == before != {}
