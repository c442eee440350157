"""Requests made up from an OpenAPI document: no 5xx, no hang, no answer that contradicts the document."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode, Response
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

HANG_S = 10.0
CHECKS = [
    schemathesis.checks.not_a_server_error,  # the first, so that it can be left out
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
SETTINGS = settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

Answers = Counter[tuple[str, int]]
"""How often each operation answered with each status."""


def try_out(
    app: FastAPI,
    there: Mapping[str, str],
    *,
    mode: GenerationMode,
    wanted: Callable[[str, str], bool] = lambda method, path: True,
) -> Answers:
    """Call the operations of `app` with requests that are made up, the same ones each time.

    Half of the made-up values of the names in `there` are replaced by what is there. `wanted` chooses by method
    and path; what deletes comes last.
    """
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]
    operations = [each for each in operations if wanted(each.method.upper(), each.path)]
    answers: Answers = Counter()
    for operation in sorted(operations, key=lambda each: each.method.upper() == "DELETE"):
        _try(operation, there, mode, answers)
    return answers


def _try(
    operation: APIOperation[Any, Any, Any, Any],
    there: Mapping[str, str],
    mode: GenerationMode,
    answers: Answers,
) -> None:
    @SETTINGS
    @seed(1)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Case[Any]) -> None:
        case.path_parameters = known(case.path_parameters, there)
        case.body = known(case.body, there)
        response = case.call()
        answers[operation.label, response.status_code] += 1
        assert response.elapsed < HANG_S
        case.validate_response(response, checks=CHECKS[_is_refusal_to_bind(response) :])

    # Where nothing is asked of a request, none can be wrong.
    with suppress(Unsatisfiable):
        check()


def _is_refusal_to_bind(response: Response) -> bool:
    # As in Neutron, this one has the status of a failure.
    return response.status_code == 500 and response.json()["NeutronError"]["type"] == "PortBindingError"


def known(value: Any, there: Mapping[str, str]) -> Any:
    """The same, but with what is there in place of half of the values of these names."""
    if isinstance(value, dict):
        return {
            name: there[name] if name in there and _even(part) else known(part, there)
            for name, part in value.items()
        }
    return [known(part, there) for part in value] if isinstance(value, list) else value


def _even(value: Any) -> bool:
    return sum(map(ord, str(value))) % 2 == 0
