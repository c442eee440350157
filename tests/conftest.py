"""What holds for all tests: where everything must run, a skipped test is a failure.

A machine that need not have PostgreSQL leaves the runs on it out, and says so.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import structlog
from hypothesis import HealthCheck, settings

from kedge.testing import postgres

if find_spec("libvirt") is None:
    # What only a hypervisor host has: `make test` says so where it leaves these out.
    collect_ignore = ["agent", "lab", "moves"]

# Hypothesis fails an example that takes 200 ms, which on a busy machine any example may.
settings.register_profile("kedge", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kedge")

COVERED = "this kernel lacks"
"""The reason of the only skips that are allowed: the part of those tests that depends on the
kernel most is run on another one, where it may not be skipped: see tests/lab/test_vlan_in_machine.py."""


TOLD = "told"
"""With `record_property`: a figure that is worth a line at the end."""

_LEFT_OUT = pytest.StashKey[int]()


class NoSkips:
    """Fails the session when a test was skipped that nothing else covers."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and COVERED not in str(report.longrepr):
            self.skipped.append(f"{report.nodeid}: {report.longrepr}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.skipped:
            terminalreporter.write_line(f"SKIPPED, which is not allowed here: {line}", red=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL server that can be started")
    if os.environ.get("KEDGE_NO_SKIPS"):
        config.pluginmanager.register(NoSkips())


LONG = (
    "test_vlan_in_machine.py",
    "test_schedules.py",
    "test_decide.py",
    "test_schema.py",
    "test_openstack_command.py",
)
"""The files that take longest, the longest first: begun first, none of them is waited for at the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    if os.environ.get("KEDGE_NO_SKIPS") or postgres.binaries():
        return
    left_out = [item for item in items if item.get_closest_marker("postgresql")]
    if not left_out:
        return
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    config.stash[_LEFT_OUT] = len(left_out)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    for report in terminalreporter.stats.get("passed", ()):
        for name, figure in report.user_properties:
            if name == TOLD:  # Also from a worker's process, whose output nobody sees.
                terminalreporter.write_line(figure)
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} runs on PostgreSQL were left out: no server of it is here.")


@pytest.fixture(autouse=True)
def logs_go_nowhere_else() -> Iterator[None]:
    """What a test makes of logging ends with it: a later one may have no such standard error any more."""
    yield
    structlog.reset_defaults()
