"""kedge plan, migrate and migrations."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from kedge.cli import progress
from kedge.cli.client import ControlPlane
from kedge.cli.exits import NoControlPlane
from kedge.cli.render import console
from kedge.cli.views import Lines

from .cli_world import BOOT, Kedge, make_cli


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Kedge]:
    with make_cli(tmp_path) as made:
        yield made


def _finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def test_a_plan_shows_bindings_plugging_and_the_difference(cli: Kedge) -> None:
    made = cli.server()
    assert "The domain XML stays as it is." in cli("plan", "vm1", "--to", "h4").out
    cli.fleet.attach_to_libvirts_macvtap("h1", made["id"], "eth1")
    before = cli.json("server", "show", "vm1")
    said = cli("plan", "vm1", "--to", "h4").out
    for part in (
        "vm1: h1 -> h4",
        "blue",
        "macvtap eth1",
        "ovs (hybrid) br-int",
        "veth to Open vSwitch br-int",
        "\n-    <interface type='direct' trustGuestRxFilters='yes'>",
        "\n+    <interface type='ethernet'>",
        "It can move to h4.",
        "Nothing was stored or plugged.",
    ):
        assert part in said, part
    assert "\x1b" not in said
    plan = cli.json("plan", "vm1", "--to", "h4")
    assert plan["obstacles"] == [] and plan["ports"][0]["destination_binding"]["vif_type"] == "ovs"
    assert cli.json("server", "show", "vm1") == before and cli.fleet.vifs["h4"] == set()


def test_an_impossible_plan_says_why(cli: Kedge) -> None:
    cli.server()
    said = cli("plan", "vm1", "--to", "h6", exits=3).out
    assert "It can't move to h6" in said and said.count("physical network 'physnet1' is not mapped") == 2
    assert "Nothing was stored or plugged." in said
    assert cli.json("plan", "vm1", "--to", "h6", exits=3)["ports"][0]["obstacle"]
    assert "on h1 already" in cli("plan", "vm1", "--to", "h1", exits=3).out
    assert "agent of dead is dead" in cli("plan", "vm1", "--to", "dead", exits=3).out


def test_an_obstacle_has_a_code_and_a_remedy(cli: Kedge) -> None:
    cli.server()
    cli.fleet.missing["h2"] = {"/boot/vmlinuz"}
    said = cli("plan", "vm1", "--to", "h2", exits=3).out
    assert (
        "  - kernel: is /boot/vmlinuz, which is not there on h2 (boot-file-missing)\n    Remedy: copy it"
        in said
    )
    assert re.search(r"Note: the guest's memory crosses the network .* in clear", said)
    plan = cli.json("plan", "vm1", "--to", "h2", exits=3)
    (obstacle,) = plan["obstacle_details"]
    assert set(obstacle) == {"code", "thing", "problem", "remedy"} and obstacle["code"] == "boot-file-missing"
    assert plan["obstacles"] == [f"kernel: {obstacle['problem']}; {obstacle['remedy']}"]
    candidate = next(each for each in cli.json("plan", "vm1") if each["host"] == "h2")
    assert candidate["obstacle_details"] == [obstacle] and candidate["notes"] == plan["notes"]
    assert "which is not there on h2" in cli("migrate", "vm1", "--to", "h2", exits=3).err


def test_unknown_servers_and_hosts(cli: Kedge) -> None:
    cli.server()
    for command in ("plan", "migrate"):
        assert "'vm9'" in cli(command, "vm9", "--to", "h2", exits=4).err
        assert "h1, h2" in cli(command, "vm1", "--to", "h9", exits=4).err
        cli(command, exits=2)
    assert cli.json("migrations", "list") == []


def test_a_migration_shows_its_progress_and_its_figures(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 3.0  # News of less than half a second make one answer.
    said = cli("migrate", "vm1", "--to", "h3").out
    assert re.search(r"vm1: h1 -> h3 \(migration [0-9a-f]{8}\)", said)
    at = [
        said.index(part)
        for part in ("preflight", "bound", "plugged and wired", "transfer", "switched", "settled")
    ]
    assert at == sorted(at)
    assert re.search(r"running: [\d.]+ of 128 MiB remain, 90 MiB/s, iteration 1", said)
    assert "vm1 moved from h1 to h3." in said
    assert re.search(r"total time +[\d.]+ (m?s)", said)
    assert re.search(r"guest downtime +42 ms", said)
    assert re.search(
        r"network blackout +at most 1\d\d ms, between its last frame on h1 and its first frame on h3", said
    )
    assert cli.json("server", "show", "vm1")["host"] == "h3"


def test_without_a_host_a_plan_shows_where_it_can_go(cli: Kedge) -> None:
    cli.server()
    said = cli("plan", "vm1").out
    assert re.search(r"h2 +yes", said) and re.search(r"h6 +no .*NIC", said) and "h1 " not in said
    found = {each["host"]: each["possible"] for each in cli.json("plan", "vm1")}
    assert found == {"h2": True, "h3": True, "h4": True, "h5": True, "h6": False, "dead": False}


def test_a_plan_says_what_copying_comes_to(cli: Kedge) -> None:
    cli.server()
    cli.fleet.writes_mib = 7
    idle = cli("plan", "vm1", "--to", "h3", "--measure", "1").out
    assert re.search(
        r"writes 7 MiB/s to its \d+ MiB of memory; copied at \d+ MiB/s, that takes [\d.]+ s", idle
    )
    assert "Nothing was stored or plugged." in idle
    cli.fleet.writes_mib = 10_000
    found = cli.json("plan", "vm1", "--measure", "1")
    assert found["forecast"]["dirty_mib"] == 10_000 and found["plan"][0]["possible"]
    cli("plan", "vm1", "--measure", "61", exits=2)


def test_a_migration_goes_to_any_host_or_the_first_that_can(cli: Kedge) -> None:
    cli.server()
    assert "vm1 moved from h1 to h2." in cli("migrate", "vm1").out
    assert "vm1 moved from h2 to h4." in cli("migrate", "vm1", "--to", "h6,h4,h5").out
    refused = cli("migrate", "vm1", "--to", "h6,dead", exits=3).err
    assert "h6: " in refused and "dead: " in refused


def test_the_next_host_is_followed_when_one_fails(cli: Kedge) -> None:
    cli.server()
    cli.fleet.refuse_plugs.add("h3")
    out = cli("migrate", "vm1", "--to", "h3,h5").out
    assert "h1 -> h3" in out and "It failed: could not plug on h3" in out
    assert "vm1 moved from h1 to h5." in out
    failed = cli.json("migrations", "list")[1]
    assert "tried again by" in cli("migrations", "show", failed["id"]).out


def test_what_was_not_measured_says_so(cli: Kedge) -> None:
    cli.server()
    cli.fleet.silent_frames = True
    assert re.search(r"network blackout +not measured", cli("migrate", "vm1", "--to", "h3").out)
    assert cli.json("migrations", "list")[0]["network_blackout_ms"] is None
    assert "not measured" in cli("migrations", "list").out


def test_a_silent_vm_was_asked_and_it_is_said(cli: Kedge) -> None:
    cli.server()
    cli.fleet.silent_frames = cli.fleet.answers = True
    said = cli("migrate", "vm1", "--to", "h3").out
    between = "between its last answer on h1 and its first answer on h3, asked 200 times a second"
    assert re.search(rf"network blackout +at most 1\d\d ms, {between}", said)
    (migration,) = cli.json("migrations", "list")
    assert migration["network_blackout_between"] == ["answer", "answer"]
    shown = cli("migrations", "show", migration["id"]).out
    assert "settled (blackout measured between its last answer and first answer)" in shown


def test_a_migration_as_json_keeps_standard_output_clean(cli: Kedge) -> None:
    cli.server()
    said = cli("migrate", "vm1", "--to", "h2", "--json")
    assert said.json["status"] == "completed" and said.json["guest_downtime_ms"] == 42
    assert "transfer" in said.err


def test_options_reach_the_migration(cli: Kedge) -> None:
    cli.server()
    options = (
        "--downtime-limit",
        "120",
        "--bandwidth",
        "64",
        "--auto-converge",
        "--completion-timeout",
        "600",
        "--progress-timeout",
        "0",
        "--on-timeout",
        "force-complete",
        "--connections",
        "4",
        "--compression",
        "zstd",
        "--compression-level",
        "3",
    )
    migration = cli.json("migrate", "vm1", "--to", "h2", *options)
    assert migration["options"] == {
        "downtime_limit_ms": 120,
        "bandwidth_mib": 64,
        "auto_converge": True,
        "completion_timeout_s": 600,
        "progress_timeout_s": None,
        "timeout_action": "force-complete",
        "downtime_ceiling_ms": 2000,
        "schedule": [],
        "share_mib": 0,
        "complete_now": False,
        "connections": 4,
        "compression": "zstd",
        "compression_level": 3,
    }
    (transfer,) = cli.fleet.transfers.values()
    assert (transfer.order.downtime_limit_ms, transfer.order.bandwidth_mib) == (120, 64)
    assert "bandwidth_mib 64" in cli("migrations", "show", migration["id"]).out
    cli("migrate", "vm1", "--to", "h1", "--downtime-limit", "0", exits=2)
    cli("migrate", "vm1", "--to", "h1", "--bandwidth", "fast", exits=2)
    alone = cli("migrate", "vm1", "--to", "h1", "--compression", "zstd", exits=2).err
    assert "compression is done on parallel connections; give connections, too" in alone


def test_a_failed_migration_says_why_and_what_was_rolled_back(cli: Kedge) -> None:
    cli.server()
    cli.fleet.fails = "QEMU closed the connection"
    said = cli("migrate", "vm1", "--to", "h5", exits=1)
    assert "QEMU closed the connection" in said.err
    assert "moved" not in said.out
    assert re.search(r"rolled back +bindings, VIFs, copied memory on h5", said.out)
    assert "the server is ACTIVE on h1, its ports are bound on h1" in said.out
    assert cli("migrate", "vm1", "--to", "h5", "--json", exits=1).json["status"] == "failed"


def test_a_refused_migration_begins_nothing(cli: Kedge) -> None:
    cli.server()
    assert "physnet1" in cli("migrate", "vm1", "--to", "h6", exits=3).err
    assert "on h1 already" in cli("migrate", "vm1", "--to", "h1", exits=3).err
    assert "dead" in cli("migrate", "vm1", "--to", "dead", "--json", exits=3).err
    assert cli.json("migrations", "list") == []


def test_only_one_migration_at_a_time(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    begun = cli.json("migrate", "vm1", "--to", "h2", "--detach")
    assert begun["finished_at"] is None
    assert "under way" in cli("migrate", "vm1", "--to", "h3", exits=3).err
    assert begun["id"] in cli("server", "delete", "vm1", exits=3).err
    _wait_until_running(cli)
    assert "memory" in cli("migrations", "show", begun["id"]).out
    assert cli.json("migrations", "abort", begun["id"][:8])["abort_requested"]
    said = cli("migrations", "show", begun["id"][:8], "--follow", exits=1)
    assert "was cancelled" in said.err and "rolled back" in said.out
    assert cli.json("migrations", "show", begun["id"])["status"] == "cancelled"
    assert "has ended already" in cli("migrations", "abort", begun["id"], exits=3).err


def test_detached_migrations_are_followed_and_listed(cli: Kedge) -> None:
    cli.server()
    cli("server", "create", "vm2", "--host", "h1", *BOOT, "--nic", "network=blue")
    assert "There is no migration" in cli("migrations", "list").out
    said = cli("migrate", "vm1", "--to", "h2", "--detach").out
    found = re.search(r"Migration ([0-9a-f-]{36}) of vm1 from h1 to h2 has begun", said)
    assert found
    assert "vm1 moved from h1 to h2." in cli("migrations", "show", found[1], "--follow").out
    assert cli("migrations", "show", found[1], "--follow", "--json").json["status"] == "completed"
    shown = cli("migrations", "show", found[1][:8]).out
    assert "wired and verified" in shown and "vm1 moved" in shown
    cli("migrate", "vm2", "--to", "h3")
    assert [each["destination"] for each in cli.json("migrations", "list")] == ["h3", "h2"]
    assert [each["id"] for each in cli.json("migrations", "list", "--server", "vm1")] == [found[1]]
    listed = cli("migrations", "list", "--server", "vm1").out
    assert found[1][:8] in listed and "completed" in listed and "42 ms" in listed and "vm2" not in listed


def test_aborting_in_words(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    begun = cli.json("migrate", "vm1", "--to", "h2", "--detach")
    assert "abort of migration" in cli("migrations", "abort", begun["id"]).out
    # Whether it has ended before it is looked at or only then, the answer is the same.
    for _ in range(2):
        assert "was cancelled" in cli("migrations", "show", begun["id"], "--follow", exits=1).err
    assert "asked for" in cli("migrations", "show", begun["id"]).out


@pytest.mark.parametrize("command", ["show", "abort"])
def test_unknown_migrations(cli: Kedge, command: str) -> None:
    assert "'1234'" in cli("migrations", command, "1234", exits=4).err
    cli("migrations", command, "", exits=2)
    cli("migrations", "list", "--server", "vm9", exits=4)


def test_ctrl_c_asks_for_an_abort(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    process = cli.start("migrate", "vm1", "--to", "h2")
    _wait_until_running(cli)
    process.send_signal(signal.SIGINT)
    code, out, err = _finish(process)
    assert code == 1
    assert "Ctrl-C: the abort is asked for" in out and "rolled back" in out
    assert "was cancelled" in err
    assert cli.json("server", "show", "vm1")["host"] == "h1"


def test_a_second_ctrl_c_leaves_it_running(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    cli.fleet.ignores_aborts = True
    process = cli.start("migrate", "vm1", "--to", "h2", bufsize=1)
    _wait_until_running(cli)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "Ctrl-C" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _, err = _finish(process)
    migration = cli.json("migrations", "list")[0]
    assert code == 130
    assert f"Migration {migration['id']} goes on without this command" in err
    assert f"kedge migrations show {migration['id'][:8]}" in err
    assert migration["abort_requested"] and migration["finished_at"] is None


def test_an_abort_that_comes_too_late_says_so(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    cli.fleet.ignores_aborts = True
    begun = cli.json("migrate", "vm1", "--to", "h2", "--detach")
    _wait_until_running(cli)
    cli("migrations", "abort", begun["id"])
    cli.fleet.hurry()
    said = cli("migrations", "show", begun["id"], "--follow").out
    assert "vm1 moved from h1 to h2." in said and "too late" in said


def test_ctrl_c_while_only_looking_changes_nothing(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 30
    begun = cli.json("migrate", "vm1", "--to", "h2", "--detach")
    process = cli.start("migrations", "show", begun["id"], "--follow", bufsize=1)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    code, _, err = _finish(process)
    assert code == 130 and "goes on without" in err
    cli.fleet.hurry()
    assert "moved" in cli("migrations", "show", begun["id"], "--follow").out
    assert not cli.json("migrations", "show", begun["id"])["abort_requested"]


class _Restarted:
    """A control plane that is away for so many calls."""

    def __init__(self, away: int) -> None:
        self.away = away

    def get(self, path: str, query: object, *, wait_s: float) -> dict[str, object]:
        self.away -= 1
        if self.away >= 0:
            raise NoControlPlane("No control plane answers.")
        return UNDER_WAY | {"status": "completed", "finished_at": "2026-01-01T00:00:02+00:00"}


UNDER_WAY: dict[str, object] = {
    "id": "5a1e0000-0000-4000-8000-000000000001",
    "status": "running",
    "created_at": "2026-01-01T00:00:00+00:00",
    "finished_at": None,
    "progress": None,
    "timeline": [{"phase": "bound", "at_ns": 1767225600_500000000, "detail": {"ports": 2}}],
}


def test_a_control_plane_that_is_started_anew_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    ended = progress.follow(cast(ControlPlane, _Restarted(2)), UNDER_WAY, Lines(console(), "vm1"))
    assert ended["status"] == "completed"
    said = capsys.readouterr().out
    assert said.count("does not answer") == 1
    assert "  +0.500 s  bound (ports 2)" in said


def test_a_control_plane_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.3)
    with pytest.raises(NoControlPlane, match="kedge migrations show 5a1e0000"):
        progress.follow(cast(ControlPlane, _Restarted(10**9)), UNDER_WAY, Lines(console(), "vm1"))


class _Interrupted(_Restarted):
    """Ctrl-C comes while Python runs a finaliser, which loses what is raised in it."""

    def get(self, path: str, query: object, *, wait_s: float) -> dict[str, object]:
        class Finaliser:
            def __del__(self) -> None:
                signal.raise_signal(signal.SIGINT)

        if self.away:
            self.away -= 1
            Finaliser()
            return UNDER_WAY
        return super().get(path, query, wait_s=wait_s)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_not_lost_in_a_finaliser() -> None:
    with pytest.raises(KeyboardInterrupt):
        progress.follow(
            cast(ControlPlane, _Interrupted(1)),
            UNDER_WAY,
            Lines(console(), "vm1"),
            abort_on_interrupt=False,
        )


def _wait_until_running(cli: Kedge) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        found = cli.json("migrations", "list")
        if found and found[0]["status"] == "running" and found[0]["progress"]:
            return
        time.sleep(0.05)
    raise AssertionError("the migration does not come to copy memory")


def test_a_running_migration_is_changed_and_forced(cli: Kedge) -> None:
    cli.server()
    cli.fleet.lasts_s = 600
    begun = cli.json("migrate", "vm1", "--to", "h2", "--detach")["id"]
    assert "bandwidth_mib 5" in cli("migrations", "set", begun, "--bandwidth", "5").out
    changed = cli.json("migrations", "set", begun[:8], "--downtime-limit", "90")["options"]
    assert (changed["bandwidth_mib"], changed["downtime_limit_ms"]) == (5, 90)
    assert "Say what is to be changed" in cli("migrations", "set", begun, exits=2).err
    assert "stand still until the rest is copied" in cli("migrations", "force-complete", begun).out
    assert cli.json("migrations", "show", begun)["options"]["complete_now"]
    cli("migrations", "abort", begun)
    cli("migrations", "show", begun, "--follow", exits=1)
    assert "has ended already" in cli("migrations", "force-complete", begun, exits=3).err


def test_policies_are_listed_and_one_that_is_not_there_is_refused(cli: Kedge) -> None:
    cli.server()
    assert "The configuration names none." in cli("policies").out
    assert cli.json("policies") == {}
    refused = cli("migrate", "vm1", "--to", "h2", "--policy", "gentle", exits=2).err
    assert "There is no migration policy 'gentle'; the configuration has none." in refused
    begins = (("drain", "h1"), ("restore", "h1"), ("rebalance",), ("operations", "move", "vm1"))
    change = ("transition", "--hosts", "h1", "--to-backend", "openvswitch")
    for command in (*begins, change, ("plan", "vm1"), ("plan", "vm1", "--to", "h2")):
        for more in ((),) if command[0] == "plan" else ((), ("--simulate",)):
            assert "no migration policy 'gentle'" in cli(*command, *more, "--policy", "gentle", exits=2).err
    assert "not both" in cli("migrate", "vm1", "--policy", "gentle", "--bandwidth", "5", exits=2).err
    cli("server", "label", "vm1", "policy=gentle")
    assert "Server vm1 has the label policy=gentle." in cli("migrate", "vm1", "--to", "h2", exits=2).err
    assert cli.json("migrate", "vm1", "--to", "h2", "--bandwidth", "5")["status"] == "completed"
