"""The part of the OpenAPI document that is Kedge's own, held against its answers; only what changes nothing."""

from typing import Any

import pytest
from fastapi import FastAPI
from schemathesis import GenerationMode

from kedge.compute.api.migrations import compute_router
from kedge.compute.api.operations import operations_router
from kedge.compute.operations.operations import OperationRequest, Operations
from kedge.compute.operations.records import OperationRecords
from kedge.model.operation import OperationKind
from kedge.network.api import install_error_handlers

from ..schema_checks import try_out
from .compute_world import ComputeWorld


@pytest.fixture
def app(world: ComputeWorld) -> FastAPI:
    app = FastAPI()
    conductor = world.conductor(world.tools)
    app.include_router(compute_router(conductor, world.servers))
    app.include_router(operations_router(conductor))
    install_error_handlers(app)
    return app


@pytest.fixture
def there(world: ComputeWorld) -> dict[str, str]:
    server = world.server()
    migration = world.move(server, "h2")
    records = OperationRecords(world.engine)
    wanted = OperationRequest(OperationKind.SERVERS, servers=(server.id,))
    operations = Operations(world.tools, records, world.conductor(world.tools).places)
    return {
        "server": server.id,
        "migration_id": migration.id,
        "operation": operations.begin(wanted).id,
    }


def only_looks(method: str, path: str) -> bool:
    return method == "GET" or path.endswith("/plan")


def test_answers_to_what_the_document_allows(app: FastAPI, there: dict[str, str]) -> None:
    answers = try_out(app, there, mode=GenerationMode.POSITIVE, wanted=only_looks)
    operations = {operation for operation, _ in answers}
    assert {operation for operation, status in answers if status == 200} >= {
        operation for operation in operations if operation.startswith("GET")
    }


def test_answers_to_what_the_document_forbids(app: FastAPI, there: dict[str, str]) -> None:
    answers = try_out(app, there, mode=GenerationMode.NEGATIVE, wanted=only_looks)
    assert {status for _, status in answers} >= {400, 404}


def test_every_operation_says_how_it_fails(app: FastAPI) -> None:
    operations: list[Any] = [each for path in app.openapi()["paths"].values() for each in path.values()]
    for operation in operations:
        assert set(operation["responses"]) >= {"400", "401", "403", "404", "409", "413", "502", "503"}
        assert "422" not in operation["responses"]
