"""Version documents, and which microversion a request is answered with."""

import pytest

from kedge.compute.nova.microversions import NEWEST

from .nova_world import V21, NovaWorld

CURRENT, LEGACY = "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"


@pytest.mark.parametrize("path", ["/compute", "/compute/"])
def test_the_versions_are_named_to_anybody(nova: NovaWorld, path: str) -> None:
    answer = nova.closed.get(path)
    assert answer.status_code == 200
    (version,) = answer.json()["versions"]
    assert (version["id"], version["status"]) == ("v2.1", "CURRENT")
    assert (version["min_version"], version["version"]) == ("2.1", "2.96")
    assert version["links"] == [{"rel": "self", "href": "http://testserver/compute/v2.1/"}]
    assert CURRENT not in answer.headers


@pytest.mark.parametrize("path", [V21, f"{V21}/"])
def test_the_version_is_described_to_anybody(nova: NovaWorld, path: str) -> None:
    version = nova.closed.get(path).json()["version"]
    assert (version["id"], version["version"]) == ("v2.1", "2.96")
    assert version["media-types"][0]["base"] == "application/json"


@pytest.mark.parametrize(
    ("headers", "answered"),
    [
        ({}, "2.1"),
        ({CURRENT: "compute 2.1"}, "2.1"),
        ({CURRENT: "compute 2.47"}, "2.47"),
        ({CURRENT: "compute latest"}, "2.96"),
        ({CURRENT: "Compute LATEST"}, "2.96"),
        ({CURRENT: "volume 3.50, compute 2.53"}, "2.53"),
        ({CURRENT: "volume 3.50"}, "2.1"),
        ({LEGACY: "2.30"}, "2.30"),
        ({LEGACY: "latest"}, "2.96"),
        ({CURRENT: "compute 2.90", LEGACY: "2.30"}, "2.90"),
        ({CURRENT: "volume 3.50", LEGACY: "2.30"}, "2.30"),
    ],
)
def test_what_is_asked_for_is_answered_with(nova: NovaWorld, headers: dict[str, str], answered: str) -> None:
    answer = nova.ask("GET", "/servers", version=None, headers=headers)
    assert answer.status_code == 200
    assert answer.headers[CURRENT] == f"compute {answered}"
    assert answer.headers[LEGACY] == answered
    assert {each.strip() for each in answer.headers["Vary"].split(",")} == {CURRENT, LEGACY}


@pytest.mark.parametrize("version", ["2.0", f"2.{NEWEST + 1}", "3.1", "1.1", "2.100000000"])
def test_a_version_that_is_not_here(nova: NovaWorld, version: str) -> None:
    for header, text in ((CURRENT, f"compute {version}"), (LEGACY, version)):
        said = nova.refused(406, "GET", "/servers", version=None, headers={header: text})
        assert said == (f"Version {version} is not supported by the API. Minimum is 2.1 and maximum is 2.96.")


@pytest.mark.parametrize(
    "version", ["2", "2.01", "2.x", "2.1.1", "newest", "2.-1", "2.1000000000", "\u0662.\u0661"]
)
def test_what_is_no_version(nova: NovaWorld, version: str) -> None:
    header = {LEGACY.encode(): version.encode()}
    said = nova.refused(400, "GET", "/servers", version=None, headers=header)
    assert "is of invalid format. Must be of format MajorNum.MinorNum." in said


def test_every_answer_names_its_request(nova: NovaWorld) -> None:
    asked = [
        nova.ask("GET", "/servers"),
        nova.ask("GET", "/servers/nothing"),
        nova.closed.get(f"{V21}/servers"),
        nova.closed.get("/network/v2.0/ports"),
    ]
    assert [each.status_code for each in asked] == [200, 404, 401, 401]
    ids = [each.headers["X-Openstack-Request-Id"] for each in asked]
    assert len(set(ids)) == 4 and all(each.startswith("req-") for each in ids)
    assert [each.headers.get("X-Compute-Request-Id") for each in asked] == [*ids[:3], None]
    assert "X-Openstack-Request-Id" not in nova.open.get("/kedge/v1/hosts").headers
