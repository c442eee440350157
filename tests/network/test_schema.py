"""The network service's part of the OpenAPI document, held against its answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from schemathesis import GenerationMode

from kedge.network.api import answers, envelopes, install_error_handlers, network_router

from ..schema_checks import try_out
from .network_world import World, make_world
from .rest_world import SERVER, make_network, make_port, make_subnet, ok, rest

ERRORS = {"400", "401", "403", "404", "409", "412", "413", "503"}


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On one database only: what is looked at here does not depend on it."""
    with make_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def app(world: World) -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(network_router(world.service))
    return app


@pytest.fixture
def there(world: World) -> dict[str, str]:
    """What the made-up requests are about: a bit of everything."""
    with rest(world) as client:
        network = make_network(client)
        subnet = make_subnet(client, network["id"])
        port = make_port(client, network["id"], device_id=SERVER, tags=["red"])
        ok(client.post(f"ports/{port['id']}/bindings", json={"binding": {"host": "h1"}}), 201)
        pool = {"name": "pool", "prefixes": ["10.0.0.0/8"]}
        pool = ok(client.post("subnetpools", json={"subnetpool": pool}), 201)["subnetpool"]
        (agent,) = ok(client.get("agents", params={"host": "h5"}))["agents"]
    return {
        "network_id": network["id"],
        "subnet_id": subnet["id"],
        "subnetpool_id": pool["id"],
        "port_id": port["id"],
        "agent_id": agent["id"],
        "host": "h1",
        "alias": "binding-extended",
        "tag": "red",
        "device_id": SERVER,
        "device_owner": "compute:kedge",
    }


def test_answers_to_what_the_document_allows(app: FastAPI, there: dict[str, str]) -> None:
    answers = try_out(app, there, mode=GenerationMode.POSITIVE)
    operations = {operation for operation, _ in answers}
    answered = {operation for operation, status in answers if status < 300}
    assert len(operations) == sum(len(path) for path in app.openapi()["paths"].values())
    assert len(answered) > len(operations) / 2, "most were seen to do what they are for"


def test_answers_to_what_the_document_forbids(app: FastAPI, there: dict[str, str]) -> None:
    answers = try_out(app, there, mode=GenerationMode.NEGATIVE)
    assert {status for _, status in answers} >= {200, 400, 404}


def test_every_operation_says_how_it_fails(app: FastAPI) -> None:
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert set(operation["responses"]) >= ERRORS, where
            assert "422" not in operation["responses"], where
            assert operation["description"], where
            form = operation["responses"]["404"]["content"]["application/json"]["schema"]
            assert form == {"$ref": "#/components/schemas/ErrorAnswer"}, where
            (success,) = set(operation["responses"]) - ERRORS - {"500"}
            content = operation["responses"][success].get("content", {"application/json": {"schema": 1}})
            assert content["application/json"]["schema"], where
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("networks/{network_id}", answers.NetworkAnswer),
        ("subnets/{subnet_id}", answers.SubnetAnswer),
        ("ports/{port_id}", answers.PortAnswer),
        ("ports/{port_id}/bindings/h1", answers.BindingAnswer),
        ("ports/{port_id}/bindings/h2/preview", answers.BindingAnswer),
        ("ports/{port_id}/tags", answers.TagList),
        ("agents/{agent_id}", answers.AgentAnswer),
        ("extensions/{alias}", answers.ExtensionAnswer),
    ],
)
def test_answers_are_what_their_models_say(
    world: World, there: dict[str, str], path: str, model: type[BaseModel]
) -> None:
    with rest(world) as client:
        shown = ok(client.get(path.format(**there)))
    assert model.model_validate(shown).model_dump(by_alias=True) == shown


def test_every_attribute_has_an_example_or_few_values() -> None:
    for model in (answers.Network, answers.Subnet, answers.Port, answers.Binding, answers.Agent):
        for name, described in model.model_json_schema()["properties"].items():
            plain = described.get("type") in ("boolean", "null") or "$ref" in str(described)
            assert plain or described.keys() & {"examples", "enum", "const"} or name == "description", name


def test_every_body_has_an_example_that_is_one(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    bodies = {name: schema for name, schema in schemas.items() if name.endswith("Body")}
    assert len(bodies) == 14
    for name, schema in bodies.items():
        (example,) = schema["examples"]
        getattr(envelopes, name).model_validate(example)


def test_the_document_is_served(app: FastAPI) -> None:
    with TestClient(app) as client:
        document: Any = client.get("/openapi.json").json()
    assert document == app.openapi()
