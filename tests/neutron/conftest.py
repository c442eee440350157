"""On which services the contract is tested: Kedge's own, or the real Neutron when `make test-neutron` says so."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge.lab.neutron import Neutron as RealNeutron
from kedge.lab.neutron import lab_agents
from kedge.network.service import NetworkService

from .settings import STRATEGIES, Strategy, adapter, kedge_over_rest, kedges_own

REAL = "KEDGE_TEST_NEUTRON"
DIFFERENCES = pytest.StashKey[list[str]]()
PORT = 19797

_OVER_REST = [("kedge-over-rest", strategy) for strategy in STRATEGIES]
_REAL = [("neutron", strategy) for strategy in STRATEGIES]
_SERVICES = _REAL if os.environ.get(REAL) else [("kedge", STRATEGIES[0]), *_OVER_REST]

if not os.environ.get(REAL):
    # These need the real one from their first line to their last.
    collect_ignore = ["test_differences.py", "test_moves.py", "test_real_neutron.py", "test_upstream.py"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Show in what Neutron's answers and Kedge's differ."""
    lines = config.stash.get(DIFFERENCES, [])
    if lines:
        terminalreporter.section("Neutron's answers (there) and Kedge's (here)")
    for line in lines:
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def real_neutron() -> Iterator[RealNeutron]:
    with RealNeutron.up(PORT, lab_agents()) as neutron:
        yield neutron


@pytest.fixture(params=_SERVICES, ids=lambda each: "-".join(each) if each[0] != "kedge" else "kedge")
def setting(request: pytest.FixtureRequest) -> tuple[str, Strategy]:
    """What answers, and the strategy."""
    found: tuple[str, Strategy] = request.param
    return found


@pytest.fixture
def service(
    setting: tuple[str, Strategy], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[NetworkService]:
    """The network service under test."""
    which, strategy = setting
    if which == "kedge":
        with kedges_own(tmp_path) as own:
            yield own
    elif which == "kedge-over-rest":
        with kedge_over_rest(tmp_path) as url, adapter(url, strategy) as remote:
            yield remote
    else:
        real: RealNeutron = request.getfixturevalue("real_neutron")
        with adapter(real.url, strategy) as remote:
            yield remote
