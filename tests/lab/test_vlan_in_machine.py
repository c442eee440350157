"""The tests that need what this machine's kernel may lack, on a kernel that has it: none may be skipped there."""

import re
import sys
from pathlib import Path

import pytest

import kedge
from kedge.lab import machine

pytestmark = pytest.mark.root

PROJECT = Path(__file__).parents[2]
# What a kernel can do wrong. The rest is the same code on every kernel, and an emulated one is slow.
FILES = ("test_announce", "test_contract", "test_foreign", "test_host_network", "test_kernel_backends")
CHOSEN = (
    "test_each_vm_has_its_own_network_and_no_other",
    "test_a_vm_hears_no_other_network",
    "test_a_vm_can_not_send_into_another_network",
    "test_frames_for_a_vm_that_was_elsewhere_reach_it_from_then_on",
    "test_a_vlan_device_that_was_there_is_used_and_kept",
    "test_a_vlan_device_of_another_name_is_named",
    "test_a_vlan_device_is_known_whatever_its_name",
)


def test_the_backends_on_a_kernel_with_vlans_and_open_vswitch() -> None:
    lines: list[str] = []

    def output(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    code = machine.run(
        [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider",
         # An import takes the emulated machine forty times as long: the agent that others try is not needed here.
         "--confcutdir=tests/agent/vif", *(f"tests/agent/vif/{name}.py" for name in FILES),
         "-k", " or ".join(CHOSEN)],
        cwd=PROJECT,
        env={
            "KEDGE_MUST_RUN": "1",
            "PYTHONPATH": str(Path(kedge.__file__).parents[1]),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer to load than some tests to run
        },
        timeout_s=1800,
        output=output,
    )  # fmt: skip
    told = "\n".join(lines)
    assert code == 0, told
    assert not re.search(r"skipped|xfailed", lines[-1]), told
    for name in CHOSEN:
        assert re.search(rf"::{name}\[.*\] PASSED", told), f"{name} was not run:\n{told}"
