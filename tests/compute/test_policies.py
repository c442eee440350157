"""Migration policies by name and by label, and what their schedules do to a migration that does not end."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kedge.compute.migrations.changes import check
from kedge.compute.migrations.policies import Policies
from kedge.compute.operations.operations import OperationRequest
from kedge.config import load
from kedge.model.convergence import StallAction, StallStep
from kedge.model.errors import BadRequest, CannotMigrate
from kedge.model.placement import MIB
from kedge.model.server import MigrationChange, MigrationOptions, Phase, Server, TimeoutAction

from .compute_world import ComputeWorld, completed
from .test_operations import DRAIN, SERVERS, Fleet, states

ENDLESS = 10**9
GENTLE = MigrationOptions(bandwidth_mib=5, downtime_ceiling_ms=100)
OVER = MigrationOptions(timeout_action=TimeoutAction.POST_COPY, auto_converge=True)
ZSTD = '[policies.gentle]\nconnections = 2\ncompression = "zstd"\n'
POLICIES = Policies({"gentle": GENTLE, "over": OVER})


def step(after: int, do: str, downtime_ms: int | None = None) -> StallStep:
    return StallStep(after, StallAction(do), downtime_ms)


def test_what_is_given_wins_over_a_name_and_that_over_the_label() -> None:
    plain, labelled = (
        Server("1", "vm1", "h1", "ACTIVE"),
        Server("2", "vm2", "h1", "ACTIVE", {"policy": "gentle"}),
    )

    assert POLICIES.of(plain) == MigrationOptions()
    assert POLICIES.of(labelled) == GENTLE
    assert POLICIES.of(labelled, "over") == OVER
    assert POLICIES.of(labelled, None, MigrationOptions(bandwidth_mib=1)) == MigrationOptions(bandwidth_mib=1)
    with pytest.raises(BadRequest, match="not both"):
        POLICIES.of(plain, "over", MigrationOptions())
    with pytest.raises(BadRequest, match="no migration policy 'x'; the configuration has gentle, over"):
        POLICIES.of(plain, "x")
    with pytest.raises(BadRequest, match=r"Server vm2 has the label policy=gentle.*configuration has none"):
        Policies().of(labelled)


def test_a_running_migration_keeps_what_qemu_was_told_at_its_begin() -> None:
    begun: dict[str, Any] = {"auto_converge": True, "share_mib": 3, "connections": 4}
    begun |= {"compression": "zstd", "compression_level": 2}
    running = MigrationOptions(**begun)

    assert POLICIES.changed(running, MigrationChange(policy="gentle")) == replace(GENTLE, **begun)
    over = POLICIES.changed(OVER, MigrationChange(policy="gentle", bandwidth_mib=9))
    assert (over.bandwidth_mib, over.timeout_action) == (9, TimeoutAction.ABORT)
    with pytest.raises(BadRequest, match="post-copy, which must be allowed when a migration begins"):
        POLICIES.changed(running, MigrationChange(policy="over"))


def test_an_operation_heeds_its_servers_labels(world: ComputeWorld) -> None:
    world.tools = replace(world.tools, policies=POLICIES)
    for name, policy in (("vm0", "gentle"), ("vm1", "missing")):
        server = world.server(name=name)
        world.tools.servers.label(server.id, {"policy": policy})
    fleet = Fleet(world)

    ended = fleet.to_end(fleet.begin(SERVERS, "", servers=("vm0", "vm1"), to=("h3",)))

    assert states(ended) == {"arrived", "stuck"}
    (migration,) = world.tools.migrations.all()
    assert migration.options == GENTLE
    (stuck,) = [each for each in ended.items if each.state == "stuck"]
    assert "no migration policy 'missing'" in stuck.why[0]


def test_an_operations_policy_is_its_own_and_kept(world: ComputeWorld) -> None:
    world.tools = replace(world.tools, policies=POLICIES)
    world.tools.servers.label(world.server(name="vm0").id, {"policy": "missing"})
    fleet = Fleet(world)

    begun = fleet.begin(policy="gentle")
    assert begun.prediction and begun.prediction["legs"]
    ended = fleet.to_end(begun)

    assert (ended.policy, states(ended)) == ("gentle", {"arrived"})
    (migration,) = world.tools.migrations.all()
    assert migration.options == GENTLE


def test_an_operation_with_an_unknown_policy_is_refused_before_anything(world: ComputeWorld) -> None:
    world.tools = replace(world.tools, policies=POLICIES)
    world.server(name="vm0")
    fleet = Fleet(world)

    for ask in (
        fleet.begin,
        lambda policy: fleet.operations.simulate(OperationRequest(DRAIN, "h1", policy=policy)),
    ):
        with pytest.raises(BadRequest, match="no migration policy 'x'; the configuration has gentle, over"):
            ask(policy="x")
    assert fleet.records.all() == []
    assert world.tools.settings.of("h1").disabled is None


def test_a_simulation_says_what_labels_and_policies_make_of_it(world: ComputeWorld) -> None:
    world.tools = replace(world.tools, policies=POLICIES)
    servers = {name: world.server(name=name) for name in ("vm0", "vm1")}
    world.tools.servers.label(servers["vm1"].id, {"policy": "missing"})
    operations = Fleet(world).operations

    usual = operations.simulate(OperationRequest(DRAIN, "h1"))
    slow = operations.simulate(OperationRequest(DRAIN, "h1", policy="gentle"), {"assumed_dirty_mib": 0})

    assert "no migration policy 'missing'" in usual.unmoved[servers["vm1"].id][0]
    assert [each.server_id for each in usual.legs] == [servers["vm0"].id]
    assert not slow.unmoved
    took_s = [each.end_s - each.start_s for each in slow.legs]
    memory_mib = world.tools.servers.find("vm0").demand.memory / MIB
    assert memory_mib > 0
    assert took_s == pytest.approx(2 * [2 + memory_mib / 5])


def without_postcopy(world: ComputeWorld, host: str) -> None:
    facts = world[host].facts
    unable = replace(facts.hypervisor, postcopy_problem="its kernel has no userfaultfd")
    world[host].facts = replace(facts, hypervisor=unable)


def test_a_host_that_can_not_do_what_a_policy_asks_is_an_obstacle(world: ComputeWorld) -> None:
    server = world.server("h1")
    without_postcopy(world, "h3")

    assert world.tools.planner.plan(server, "h3").possible
    (obstacle,) = world.tools.planner.plan(server, "h3", OVER).obstacle_details
    assert (obstacle.code, obstacle.thing) == ("post-copy-unsupported", "post-copy to h3")
    conductor = world.conductor(world.tools)
    assert "h3" not in [
        each.plan.destination for each in conductor.choices(server, (), OVER) if each.plan.possible
    ]
    with pytest.raises(CannotMigrate, match="post-copy to h3"):
        conductor.migrate(server, ["h3"], OVER)
    assert world.tools.migrations.all() == []


def test_an_operation_goes_where_its_servers_policy_can_be_kept(world: ComputeWorld) -> None:
    world.tools = replace(world.tools, policies=POLICIES)
    server = world.server("h1", name="vm0")
    world.tools.servers.label(server.id, {"policy": "over"})
    without_postcopy(world, "h3")
    fleet = Fleet(world)

    ended = fleet.to_end(fleet.begin(SERVERS, "", servers=("vm0",), to=("h3", "h4")))

    assert states(ended) == {"arrived"}
    assert world.tools.servers.find("vm0").host == "h4"


def test_a_change_asks_for_nothing_that_a_host_can_not_do(world: ComputeWorld) -> None:
    server = world.server("h1")
    migration = world.tools.migrations.add(server, "h3", OVER)
    check(world.tools.agents, migration, OVER)
    without_postcopy(world, "h3")

    check(world.tools.agents, migration, GENTLE)
    with pytest.raises(CannotMigrate, match=r"can't be changed so.*post-copy to h3"):
        check(world.tools.agents, migration, OVER)


@pytest.mark.parametrize("do", ["force-complete", "post-copy", "abort"])
def test_a_schedule_ends_what_makes_no_progress(world: ComputeWorld, do: str) -> None:
    world.fabric.rounds = ENDLESS
    schedule = (step(2, "downtime", 700), step(4, do))

    migration = world.move(
        world.server("h1"), "h3", MigrationOptions(downtime_limit_ms=50, schedule=schedule)
    )

    assert completed(migration) is (do != "abort")
    why = "no progress was made in 4 rounds"
    if do == "abort":
        assert migration.error == why
    else:
        (hurried,) = [each for each in migration.timeline if each.phase == Phase.HURRIED]
        assert hurried.detail == {"why": why, "done": do}
    assert migration.progress is not None
    assert migration.progress["downtime_limit_ms"] >= 700


def test_the_ceiling_holds(world: ComputeWorld) -> None:
    world.fabric.rounds = 30

    migration = world.move(world.server("h1"), "h3", MigrationOptions(downtime_ceiling_ms=16))

    assert completed(migration)
    assert migration.progress is not None
    assert migration.progress["downtime_limit_ms"] <= 16


def test_policies_come_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "kedge.toml"
    path.write_text(
        '[policies.gentle]\nbandwidth_mib = 5\nschedule = [{after = 2, do = "downtime", downtime_ms = 9}]\n'
    )

    (policy,) = load(path, {}).policies.values()

    assert policy == MigrationOptions(bandwidth_mib=5, schedule=(step(2, "downtime", 9),))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("[policies.gentle]\nbandwith = 5\n", r"policies\.gentle\.bandwith"),
        ("[policies.gentle]\nbandwidth_mib = -5\n", "bandwidth_mib is -5; give a number of MiB/s"),
        ('[policies.gentle]\nschedule = [{after = 1, do = "pause"}]\n', "'downtime', 'abort'"),
        ("[policies.gentle]\ncomplete_now = true\n", "said of one migration only"),
        ("[policies.gentle]\nconnections = 256\n", "connections is 256; give a number up to 255"),
        ('[policies.gentle]\nconnections = 2\ncompression = "xz"\n', "compression is 'xz'; it can be zstd"),
        ('[policies.gentle]\ncompression = "zstd"\n', "parallel connections; give connections, too"),
        ("[policies.gentle]\nconnections = 2\ncompression_level = 3\n", "give compression, too"),
        (ZSTD + "compression_level = 21\n", "compression_level is 21; give a number from 1 to 20"),
        (ZSTD + 'timeout_action = "post-copy"\n', "compression and post-copy can't be had together"),
        ('[policies."a b"]\nbandwidth_mib = 5\n', "policy 'a b': a policy's name is a label's value"),
    ],
)
def test_a_policy_that_can_not_be_is_refused(tmp_path: Path, said: str, wrong: str) -> None:
    path = tmp_path / "kedge.toml"
    path.write_text(said)

    with pytest.raises(BadRequest, match=wrong):
        load(path, {})
