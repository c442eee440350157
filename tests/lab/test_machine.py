"""The machine: the same files, another kernel, and nothing left of it afterwards."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kedge.lab import machine
from kedge.model.errors import HostFailure

pytestmark = pytest.mark.root

VISIT = """
echo out; echo err >&2; pwd; echo "$GREETING"
sleep 2
echo later
cat kept; echo changed >kept; rm removed; echo >made; sync; cat kept
mkdir /run/again && mount -t virtiofs -o rw host /run/again && echo mounted
echo changed >"/run/again$PWD/kept" || echo refused
cat /proc/sys/kernel/osrelease
ip link add eth1 type dummy && ip link add link eth1 name eth1.100 type vlan id 100 && echo vlan
ip link add link eth1.100 name tap0 type macvtap mode bridge && echo macvtap
tc qdisc add dev eth1 root netem delay 10ms && echo netem
modprobe openvswitch && grep -q openvswitch /proc/modules && echo openvswitch
ip netns add inner && ip -n inner link set lo up && echo netns
ls /dev/net/tun /dev/vhost-net
ping -c1 -W5 127.0.0.1 >/dev/null && echo loopback
{python} -c 'import pydantic, lxml; print("python")'
printf unfinished
exit 7
"""


@dataclass
class Visit:
    directory: Path
    code: int
    lines: list[str]
    times: list[float]


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """One machine, in which everything is tried that the tests below look at."""
    directory = tmp_path_factory.mktemp("visited")
    (directory / "kept").write_text("original\n")
    (directory / "removed").write_text("")
    lines: list[str] = []
    times: list[float] = []

    def output(line: str) -> None:
        lines.append(line)
        times.append(time.monotonic())

    script = VISIT.replace("{python}", sys.executable)
    code = machine.run(
        ["sh", "-c", script], cwd=directory, env={"GREETING": "it's $HOME"}, output=output, timeout_s=300
    )
    return Visit(directory, code, lines, times)


def test_the_exit_code_and_the_output_come_through(visit: Visit) -> None:
    assert visit.code == 7
    assert visit.lines[:5] == ["out", "err", str(visit.directory), "it's $HOME", "later"]
    assert visit.lines[-1] == "unfinished"


def test_the_output_comes_while_the_command_runs(visit: Visit) -> None:
    written = dict(zip(visit.lines, visit.times, strict=True))
    assert written["later"] - written["err"] > 1


def test_the_hosts_files_are_there_but_can_not_be_changed(visit: Visit) -> None:
    start = visit.lines.index("later") + 1
    assert visit.lines[start : start + 5] == [
        "original",
        "changed",  # in the machine's own memory
        "mounted",
        f"sh: 7: cannot create /run/again{visit.directory}/kept: Read-only file system",
        "refused",
    ]
    assert (visit.directory / "kept").read_text() == "original\n"
    assert sorted(path.name for path in visit.directory.iterdir()) == ["kept", "removed"]


@pytest.mark.parametrize(
    "line",
    [
        "vlan",
        "macvtap",
        "netem",
        "openvswitch",
        "netns",
        "/dev/net/tun",
        "/dev/vhost-net",
        "loopback",
        "python",
    ],
)
def test_the_machine_has(visit: Visit, line: str) -> None:
    assert line in visit.lines, "\n".join(visit.lines)


def test_the_kernel_is_debians(visit: Visit) -> None:
    assert any(re.fullmatch(r"[\d.]+-\d+-cloud-amd64", line) for line in visit.lines)


def test_a_command_that_takes_too_long_is_ended_and_what_it_said_is_kept() -> None:
    before, lines = descendants("self"), list[str]()
    with pytest.raises(HostFailure, match="not done within 60 s"):
        machine.run(["sh", "-c", "echo a; printf b; sleep 1000"], output=lines.append, timeout_s=60)
    assert lines == ["a", "b"]
    assert descendants("self") == before


def test_a_kernel_that_breaks_down_is_reported_with_its_last_words() -> None:
    with pytest.raises(HostFailure, match=r"(?s)broke down.*sysrq triggered crash"):
        machine.run(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"], timeout_s=300)


def test_an_unknown_program_is_told_like_a_shell_does() -> None:
    before, lines = descendants("self"), list[str]()
    assert machine.run(["no-such-program"], output=lines.append, timeout_s=300) == 127
    assert lines == ["env: 'no-such-program': No such file or directory"]
    assert descendants("self") == before


def test_nothing_is_left_when_the_caller_is_killed() -> None:
    program = "from kedge.lab import machine; machine.run(['sleep', '1000'], timeout_s=1000)"
    with subprocess.Popen([sys.executable, "-c", program]) as caller:
        until(lambda: sorted(descendants(str(caller.pid)).values()) == ["qemu-system-x86", "virtiofsd"])
        started = descendants(str(caller.pid))
        assert len({group_of(pid) for pid in started}) == 1  # a group of their own
        assert group_of(str(caller.pid)) not in {group_of(pid) for pid in started}
        caller.kill()
    until(lambda: not any(Path("/proc", pid).exists() for pid in started))


def until(condition: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def descendants(pid: str) -> dict[str, str]:
    """Process id to name of the living children of a process (`self` for this one), of all its threads."""
    found: dict[str, str] = {}
    for children in Path("/proc", pid, "task").glob("*/children"):
        found |= dict(alive(children.read_text().split()))
    return found


def alive(pids: list[str]) -> Iterator[tuple[str, str]]:
    for pid in pids:
        try:
            yield pid, Path("/proc", pid, "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue


def group_of(pid: str) -> str:
    return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[2]
