"""A command in a namespace is ended whenever that is asked, also while it is being started."""

import os
import time
from pathlib import Path

import pytest

from kedge.lab.processes import NamespaceProcess, command_line

MARK = "98765.4321"


@pytest.mark.root
def test_a_command_that_is_just_being_started_does_not_outlive_its_end() -> None:
    enter = ["nsenter", f"--pid=/proc/{os.getpid()}/ns/pid", "--", "sleep", MARK]
    for number in range(150):
        process = NamespaceProcess(enter)
        time.sleep(number % 30 / 10_000)  # its start takes about as long
        process.terminate()
        process.wait(timeout=20)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    left = [pid for pid in pids if MARK in command_line(pid)]
    for pid in left:
        os.kill(pid, 9)
    assert left == []
