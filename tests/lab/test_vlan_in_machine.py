"""The tests that need what this machine's kernel may lack, on a kernel that has it: none may be skipped there."""

import os
import re
import sys
from pathlib import Path

import pytest

import kedge
from kedge.lab import machine

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).parents[2]


def test_the_backends_on_a_kernel_with_vlans_and_open_vswitch() -> None:
    lines: list[str] = []

    def output(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    code = machine.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "tests/agent/vif"],
        cwd=PROJECT,
        env={
            "KEDGE_MUST_RUN": "1",
            "PYTHONPATH": str(Path(kedge.__file__).parents[1]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer to load than some tests to run
        },
        timeout_s=float(os.environ.get("KEDGE_MACHINE_TIMEOUT_S", "900")),
        output=output,
    )
    told = "\n".join(lines)
    assert code == 0, told
    assert re.search(r"\d+ passed", lines[-1]), told
    assert not re.search(r"skipped|xfailed|deselected", lines[-1]), told
