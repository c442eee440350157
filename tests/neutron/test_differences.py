"""The same requests to a real Neutron and to Kedge: their answers differ only as docs/neutron-differences.md says."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kedge.lab.neutron import Neutron, NeutronAgent, lab_agents
from kedge.model.host import HostBackend

from ..network.network_world import make_world, report_of
from .conftest import DIFFERENCES
from .exchanges import ALWAYS, EXCHANGES, UNKNOWN, Exchange
from .settings import served

DOCUMENT = Path(__file__).parents[2] / "docs/neutron-differences.md"
Json = Any

_PLAIN = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}"), "<mac>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "<time>"),
    (re.compile(r"10\.100\.\d+\.\d+$"), "<address>"),
)
_NUMBERS = {"revision_number"}


class Side:
    """One of the two that are asked, and what was made there."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=200)
        self._url = url
        self._made: dict[str, str] = {}

    def ask(self, exchange: Exchange) -> tuple[int, Json]:
        """The answer's status and its body, without what differs from run to run."""
        arguments: dict[str, Any] = {"headers": dict(exchange.headers)}
        if exchange.content is not None:
            arguments["content"] = exchange.content
            arguments["headers"]["Content-Type"] = "application/json"
        elif exchange.body is not None:
            arguments["json"] = self._filled(exchange.body)
        answer = self._http.request(exchange.method, self._url + self._filled(exchange.path), **arguments)
        body: Json = answer.json() if answer.content else None
        if exchange.made and answer.is_success:
            (found,) = body.values()
            self._made[exchange.made] = found["id"]
        return answer.status_code, _plain(body)

    def close(self) -> None:
        """Ask no more."""
        self._http.close()

    def _filled(self, what: Any) -> Any:
        if isinstance(what, dict):
            return {key: self._filled(value) for key, value in what.items()}
        if isinstance(what, str):
            return re.sub(r"\{(\w+)\}", lambda match: self._made.get(match[1], UNKNOWN), what)
        return what


def _plain(body: Json, key: str = "") -> Json:
    if isinstance(body, dict):
        if "NeutronError" in body:
            return {"error": body["NeutronError"]["type"]}
        return {name: _plain(value, name) for name, value in body.items()}
    if isinstance(body, list):
        return sorted((_plain(each) for each in body), key=repr)
    if key in _NUMBERS:
        return "<number>"
    if isinstance(body, str):
        for pattern, plain in _PLAIN:
            body = pattern.sub(plain, body)
    return body


Answers = dict[str, tuple[tuple[int, Json], tuple[int, Json]]]


@pytest.fixture(scope="module")
def answers(real_neutron: Neutron, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """What Neutron and Kedge answered, by the exchange's name."""
    dead = HostBackend("openvswitch", {"physnet1": "br-physnet1"})
    agents = lab_agents("system")
    real_neutron.add_agents([*agents, NeutronAgent("hdead", dead, dead=True)])
    with ExitStack() as stack:
        world = stack.enter_context(make_world(tmp_path_factory.mktemp("differences")))
        world.service.record_host(replace(report_of("h3"), host="hdead"))
        world.pass_time(3600)
        for agent in agents:
            world.service.record_host(replace(report_of("h3"), host=agent.host, backends=(agent.backend,)))
        kedge = Side(stack.enter_context(served(world.service)) + "/v2.0")
        stack.callback(kedge.close)
        neutron = Side(f"{real_neutron.url}/v2.0")
        stack.callback(neutron.close)
        yield {exchange.name: (neutron.ask(exchange), kedge.ask(exchange)) for exchange in EXCHANGES}


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """The first cells of the document's rows."""
    rows = re.findall(r"^\| (.+?) \|", DOCUMENT.read_text(), re.MULTILINE)
    return set(rows)


def differences(before: Json, after: Json, path: str = "") -> Iterator[tuple[str, str]]:
    """Where two answers differ: the attribute's path, and what both say."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            here = f"{path}.{key}" if path else key
            yield from differences(before.get(key, "<absent>"), after.get(key, "<absent>"), here)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif before != after:
        yield path, f"{before!r} there, {after!r} here"


def found(answers: Answers, exchange: Exchange) -> list[str]:
    """The differences of one exchange, without those that may be anywhere."""
    (status, body), (our_status, our_body) = answers[exchange.name]
    lines = [] if status == our_status else [f"status: {status} there, {our_status} here"]
    if (status < 400) != (our_status < 400):
        return lines
    return lines + [
        f"{path}: {text}"
        for path, text in differences(body, our_body)
        if path.rpartition(".")[2] not in ALWAYS
    ]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda each: each.name)
def test_answers_differ_only_as_documented(
    answers: Answers, exchange: Exchange, documented: set[str], request: pytest.FixtureRequest
) -> None:
    lines = found(answers, exchange)
    for each in exchange.differences:
        assert each in documented, f"{DOCUMENT.name} has no row {each!r}"
    shown = request.config.stash.setdefault(DIFFERENCES, [])
    reason = ", ".join(exchange.differences) or "NOT DOCUMENTED"
    shown += [f"{exchange.name}: {line} ({reason})" for line in lines]
    assert bool(lines) == bool(exchange.differences), lines or "there is none any more; take it off the list"


def test_what_may_differ_anywhere_is_documented(documented: set[str]) -> None:
    assert set(ALWAYS.values()) <= documented


def test_the_real_neutron_answers_as_it_did_when_the_differences_were_written(answers: Answers) -> None:
    """Guards the comparison itself: a Neutron that refuses everything would differ in nothing."""
    statuses = {name: there[0] for name, (there, _) in answers.items()}
    expected = {
        "create-port": 201, "create-binding": 201, "activate": 200, "delete-former-binding": 204,
        "binding-no-agent": 500, "unknown-port-create": 500, "activate-empty-body": 500, "list-agents-of-nobody": 200,
    }  # fmt: skip
    assert {name: statuses[name] for name in expected} == expected
