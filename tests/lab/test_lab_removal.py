"""The lab goes without a trace: after an orderly end, after `kill -9` at any point, and when it is made twice.

These tests use a second lab, named by KEDGE_LAB, so that the one that other tests share stays up.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kedge.lab.processes import ProcessId

pytestmark = pytest.mark.lab

NAME = "removal"
ROOT = Path(f"/run/kedge-lab-{NAME}")
NODES = ("fabric", "control", "observer", "h1", "h2", "h3", "h4", "h5")
ENVIRONMENT = {**os.environ, "KEDGE_LAB": NAME}


def _python(script: str, expected: int = 0) -> str:
    """Runs a script on the second lab, and gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from kedge.lab import Lab\n" + script],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


def _traces() -> dict[str, list[str]]:
    """What there is of the second lab on the machine, found in other ways than the lab itself finds it."""
    processes = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    marks = (f"{ROOT}/", f"kedge-{NAME}-")
    return {
        "processes": [line for line in processes.splitlines() if any(mark in line for mark in marks)],
        "mounts": [line for line in mounts.splitlines() if any(mark in line for mark in marks)],
        "namespaces": [str(path) for path in Path("/run/netns").glob(f"kedge-{NAME}-*")],
        "directories": [str(path) for path in Path("/run").glob(f"kedge-lab-{NAME}*")],
    }


def _assert_no_trace(inhabitants: set[ProcessId]) -> None:
    assert not any(_traces().values()), _traces()
    assert not [process for process in inhabitants if process.alive]


def _inhabitants() -> set[ProcessId]:
    """Every process in one of the second lab's network namespaces: libvirtd and Open vSwitch among them."""
    namespaces = {Path(f"/proc/{pid}/ns/net").readlink() for pid in _inits().values()}
    assert len(namespaces) == len(NODES)
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            process = ProcessId.of(int(entry.name))
            if process is not None and (entry / "ns/net").readlink() in namespaces:
                found.add(process)
    return found


def _links() -> list[str]:
    """The network devices of the machine's own namespace, where the lab makes none."""
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def _inits() -> dict[str, int]:
    record = json.loads((ROOT / "state.json").read_text())
    return {name: pid for name, (pid, _start) in record["inits"].items()}


@pytest.fixture(autouse=True)
def removed() -> Iterator[None]:
    yield
    _python("Lab.down()")


def test_down_leaves_nothing() -> None:
    links = _links()
    _python("Lab.up()")
    inhabitants = _inhabitants()
    assert len(inhabitants) >= len(NODES) + 5 + 4  # inits, five libvirtd, Open vSwitch's two on two hosts
    assert _traces()["processes"]
    assert len(_traces()["namespaces"]) == len(NODES)
    assert _links() == links
    _python("status = Lab.status(); assert status.healthy, status; assert len(status.hosts) == 5")
    _python("Lab.attach().hosts['h3'].popen(['sleep', '600'])")

    _python("Lab.down()")
    _assert_no_trace(inhabitants)
    assert _links() == links
    _python("assert Lab.status().found == ()")
    assert "NotFound" in _python("Lab.attach()", expected=1)
    _python("Lab.down()")


def test_up_replaces_a_lab_whose_maker_is_gone() -> None:
    _python("Lab.up()")
    first = _inhabitants()
    _python("Lab.up()")
    assert not [process for process in first if process.alive]
    _python("assert Lab.attach().hosts['h2'].domains() == []")


def test_up_is_refused_while_the_process_that_made_the_lab_runs() -> None:
    script = "from kedge.lab import Lab; Lab.up(); print('up', flush=True); input()"
    maker = subprocess.Popen(
        [sys.executable, "-c", script], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"up\n"
        inhabitants = _inhabitants()
        assert "Conflict" in _python("Lab.up()", expected=1)
        assert all(process.alive for process in inhabitants)
        maker.kill()


def test_two_at_once_do_not_mix() -> None:
    script = "from kedge.lab import Lab; Lab.up(); assert Lab.status().healthy; input()"
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script], env=ENVIRONMENT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    # The second one waits for the first, and is then refused because the first one still runs.
    refused = None
    while refused is None:
        refused = next((maker for maker in makers if maker.poll() is not None), None)
    assert refused.stderr is not None
    assert b"Conflict" in refused.stderr.read()
    _python("assert Lab.status().healthy")
    for maker in makers:
        with maker:
            maker.kill()


def test_down_after_the_maker_was_killed_half_way() -> None:
    _python(
        "import os, signal; from kedge.lab import fabric\n"
        "fabric.build = lambda nodes: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Lab.up()",
        expected=-signal.SIGKILL,
    )
    inhabitants = _inhabitants()
    assert "Conflict" in _python("Lab.attach()", expected=1)
    # One node's init dies as well, and the record is torn.
    os.kill(_inits()["h2"], signal.SIGKILL)
    (ROOT / "state.json").write_text('{"owner": [')

    _python("Lab.down()")
    _assert_no_trace(inhabitants)


def test_up_after_the_maker_was_killed_before_anything_was_written_down() -> None:
    _python(
        "import os, signal; from kedge.lab.node import Node\n"
        "Node._name_network_namespace = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Lab.up()",
        expected=-signal.SIGKILL,
    )
    assert _traces()["processes"]
    _python("lab = Lab.up(); assert lab.hosts['h1'].domains() == []; Lab.down()")
    assert not any(_traces().values()), _traces()


def test_a_failing_up_cleans_up_after_itself() -> None:
    message = _python(
        "from kedge.lab import fabric\n"
        "def build(nodes): raise RuntimeError('no cables today')\n"
        "fabric.build = build\n"
        "Lab.up()",
        expected=1,
    )
    assert "no cables today" in message
    assert not any(_traces().values()), _traces()


def test_down_spares_what_only_looks_like_the_lab() -> None:
    bystander = subprocess.Popen(["tail", "-f", "/dev/null", "--", str(ROOT / "hosts/h1/kedge-lab-init")])
    try:
        _python("Lab.down()")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
