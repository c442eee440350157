"""Neutron's own unit tests of ports, networks, subnets, subnet pools and bindings, sent over HTTP to Kedge."""

import json
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from .conftest import DIFFERENCES
from .upstream.kedge_site import kedge_for_neutrons_tests

HERE = Path(__file__).parent / "upstream"
PYTHON = Path(__file__).parents[2] / ".venv-neutron" / "bin" / "python"
LOG_TAIL = 4_000  # characters


def exceptions() -> dict[str, str]:
    """Which tests Kedge does not pass, and why."""
    groups = tomllib.loads((HERE / "exceptions.toml").read_text())["exceptions"]
    reasons = [(name, group["reason"]) for group in groups for name in group["tests"]]
    twice = [name for name, times in Counter(name for name, _ in reasons).items() if times > 1]
    assert not twice
    return dict(reasons)


def test_neutrons_own_tests_pass_or_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "outcomes.json"
    with kedge_for_neutrons_tests(tmp_path, monkeypatch) as url:
        run = subprocess.run(
            [PYTHON, HERE / "forwarder.py", url, file],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert run.returncode == 0, run.stderr[-LOG_TAIL:]
    outcomes: dict[str, tuple[str, str]] = json.loads(file.read_text())
    listed = exceptions()

    counts: Counter[tuple[str, str]] = Counter()
    for name, (outcome, _) in outcomes.items():
        counts[name.partition(".")[0], outcome] += 1
    told = request.config.stash.setdefault(DIFFERENCES, [])
    told += [f"{suite}: {count} {outcome}" for (suite, outcome), count in sorted(counts.items())]

    failed = {name: why for name, (outcome, why) in outcomes.items() if outcome == "failed"}
    unlisted = {name: why[-LOG_TAIL:] for name, why in failed.items() if name not in listed}
    assert not unlisted, "\n\n".join(
        f"{name} is not in exceptions.toml\n{why}" for name, why in unlisted.items()
    )
    assert sorted(listed) == sorted(failed), "what is listed fails, or it is not listed"
